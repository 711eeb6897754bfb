// SPDX-License-Identifier: Apache-2.0
// ST: vector lines, keys, values or scales become stripes with byte strobes, written by all channels in lockstep. The
// next instruction begins when all stripes of the one before are with the channels; each retires, in order, when every
// write of it has its response. LINES: a vector line a cycle; KEY: a stripe a cycle; VALUE: the bytes of a tile are
// gathered a granule a cycle, then a stripe a cycle; see store/README.md.
module cosyn_store #(
  parameter int InFlight = 16   // instructions between accept and retirement
) (
  input  logic                                          clk_i,
  input  logic                                          rst_i,
  input  logic                                          halt_i,
  input  logic [cosyn_pkg::Registers*32-1:0]            registers_i,
  // instructions
  input  logic                                          st_valid_i,
  output logic                                          st_ready_o,
  input  logic [cosyn_pkg::InstructionBits-1:0]         st_inst_i,
  output logic                                          st_done_o,
  output logic [31:0]                                   st_digest_o,
  // vector buffer read: data two cycles after the grant
  output logic                                          vr_req_o,
  output logic [cosyn_pkg::VectorAddressBits-1:0]       vr_addr_o,
  input  logic                                          vr_gnt_i,
  input  logic                                          vr_valid_i,
  input  logic [cosyn_pkg::LineBytes*8-1:0]             vr_data_i,
  // activation buffer read, through the matrix engine
  output logic                                          act_req_o,
  output logic [7:0]                                    act_bank_o,
  output logic [cosyn_pkg::ActivationAddressBits-1:0]   act_addr_o,
  input  logic                                          act_gnt_i,
  input  logic                                          act_valid_i,
  input  logic [cosyn_pkg::ActivationLineBytes*8-1:0]   act_data_i,
  // AXI4 write channels, index = channel
  output logic [cosyn_pkg::ChannelsPerCore*40-1:0]      awaddr_o,
  output logic [cosyn_pkg::ChannelsPerCore*8-1:0]       awlen_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         awvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]         awready_i,
  output logic [cosyn_pkg::StripeBytes*8-1:0]           wdata_o,
  output logic [cosyn_pkg::StripeBytes-1:0]             wstrb_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         wlast_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         wvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]         wready_i,
  input  logic [cosyn_pkg::ChannelsPerCore*2-1:0]       bresp_i,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]         bvalid_i,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         bready_o,
  // state
  output logic                                          idle_o,         // no write is open on the bus
  output logic                                          error_o,
  output logic [7:0]                                    error_code_o,
  output logic [31:0]                                   error_detail_o
);
  localparam int Channels = cosyn_pkg::ChannelsPerCore;
  localparam int Stripe = cosyn_pkg::StripeBytes;

  // -- the walk through the instruction: what to read, and the place of each stripe -----------------------------------
  logic [1:0]                     mode;
  logic                           row, walk_beat, setup, finish, finish_ready, room;
  logic                           hold_activation, hold_vector, gather, walk_error;
  logic [23:0]                    length;
  logic [15:0]                    slot, granule, column;
  logic [cosyn_pkg::LaneBits-1:0] word_index;
  logic [31:0]                    address, tile_stripe, walk_detail;
  logic                           lines_full, lines_row_end;
  cosyn_store_walk u_walk (
    .clk_i, .rst_i, .halt_i, .registers_i,
    .st_valid_i, .st_ready_o, .st_inst_i,
    .vr_req_o, .vr_addr_o, .vr_gnt_i, .vr_valid_i,
    .act_req_o, .act_bank_o, .act_addr_o, .act_gnt_i, .act_valid_i,
    .row_o(row), .length_o(length), .lines_end_i(lines_full && lines_row_end),
    .hold_activation_o(hold_activation), .hold_vector_o(hold_vector), .gather_o(gather),
    .slot_o(slot), .granule_o(granule), .word_o(word_index),
    .room_i(room), .beat_o(walk_beat),
    .mode_o(mode), .address_o(address), .tile_o(tile_stripe), .column_o(column),
    .setup_o(setup), .finish_o(finish), .finish_ready_i(finish_ready),
    .error_o(walk_error), .error_detail_o(walk_detail)
  );

  // -- what is written ------------------------------------------------------------------------------------------------
  logic [31:0]         lines_stripe;
  logic [Stripe*8-1:0] lines;
  cosyn_store_lines u_lines (
    .clk_i, .rst_i,
    .row_i(row), .row_stripe_i(address), .row_length_i(length),
    .valid_i(vr_valid_i && mode == cosyn_pkg::StoreModeLines), .data_i(vr_data_i),
    .full_o(lines_full), .row_end_o(lines_row_end), .stripe_o(lines_stripe), .data_o(lines)
  );

  logic [cosyn_pkg::ChainLength*8-1:0] step;
  logic [cosyn_pkg::TileColumns*8-1:0] gathered;
  logic [31:0]                         word;
  cosyn_store_source u_source (
    .clk_i,
    .hold_activation_i(hold_activation), .activation_i(act_data_i),
    .hold_vector_i(hold_vector), .vector_i(vr_data_i),
    .gather_i(gather), .slot_i(slot), .granule_i(granule), .word_i(word_index),
    .step_o(step), .tile_o(gathered), .word_o(word)
  );

  logic [31:0]         beat_stripe;
  logic                beat_last;
  logic [Stripe*8-1:0] beat_data;
  logic [Stripe-1:0]   beat_strobe;
  cosyn_store_beat u_beat (
    .mode_i(mode), .column_i(column), .tile_i(tile_stripe), .index_i(granule), .address_i(address),
    .lines_stripe_i(lines_stripe), .lines_row_end_i(lines_row_end), .lines_i(lines),
    .step_i(step), .gathered_i(gathered), .word_i(word),
    .stripe_o(beat_stripe), .last_o(beat_last), .data_o(beat_data), .strobe_o(beat_strobe)
  );

  // -- to memory, and retirement --------------------------------------------------------------------------------------
  logic [31:0]         digest;
  logic                pending, burst_end, completion_ready, all_retire;
  logic [Channels-1:0] channel_error;
  cosyn_store_write u_write (
    .clk_i, .rst_i, .halt_i,
    .room_o(room), .beat_i(lines_full || walk_beat), .last_i(beat_last),
    .stripe_i(beat_stripe), .data_i(beat_data), .strobe_i(beat_strobe),
    .clear_i(setup), .digest_o(digest), .pending_o(pending), .burst_end_o(burst_end),
    .awaddr_o, .awlen_o, .awvalid_o, .awready_i,
    .wdata_o, .wstrb_o, .wlast_o, .wvalid_o, .wready_i,
    .bresp_i, .bvalid_i, .bready_o,
    .idle_o, .error_o(channel_error)
  );

  // the digest is complete when the last stripe write is counted
  assign finish_ready = !pending && completion_ready;
  cosyn_store_retire #(.InFlight(InFlight)) u_retire (
    .clk_i, .rst_i, .halt_i,
    .valid_i(finish && !pending), .ready_o(completion_ready), .digest_i(digest),
    .burst_end_i(burst_end), .response_i(bvalid_i & bready_o), .error_i(channel_error),
    .all_retire_o(all_retire), .done_o(st_done_o), .digest_o(st_digest_o)
  );

  // -- errors ---------------------------------------------------------------------------------------------------------
  logic [31:0] bad_channel;
  always_comb begin
    bad_channel = '0;
    for (int c = Channels - 1; c >= 0; c--) if (channel_error[c]) bad_channel = 32'(c);
  end
  always_ff @(posedge clk_i) begin
    error_o        <= !rst_i && (channel_error != '0 || walk_error);
    error_code_o   <= channel_error != '0 ? cosyn_control_pkg::ErrorAxiWrite : cosyn_control_pkg::ErrorAddressRange;
    error_detail_o <= channel_error != '0 ? bad_channel : walk_detail;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && !halt_i) begin
      assert (!all_retire || idle_o) else $error("%m: retired with open writes");
    end
  end
`endif
endmodule
