// SPDX-License-Identifier: Apache-2.0
// One core: fetch, six queues with their tokens, the units and their buffers, counters and watchdog. Pure wiring, apart
// from the choice of the first error. A program starts with a reset of everything but the buffers' contents.
module cosyn_core (
  input  logic                                           clk_i,
  input  logic                                           rst_i,
  input  logic                                           start_i,        // pulse, after a reset
  input  logic                                           halt_i,
  input  logic [39:0]                                    base_i,
  input  logic [cosyn_pkg::Registers*32-1:0]             registers_i,
  output logic                                           finished_o,     // SYS DONE has retired
  output logic                                           quiet_o,        // nothing is open on any AXI port
  output logic                                           error_o,
  output logic [7:0]                                     error_code_o,
  output logic [3:0]                                     error_class_o,
  output logic [31:0]                                    error_detail_o,
  output logic [26*32-1:0]                               counters_o,
  output logic [31:0]                                    fetched_o,
  output logic [31:0]                                    state_o,
  output logic [5:0]                                     retire_o,
  output logic [6*32-1:0]                                retire_digest_o,
  // instruction memory
  output logic [39:0]                                    inst_araddr_o,
  output logic                                           inst_arvalid_o,
  input  logic                                           inst_arready_i,
  input  logic [127:0]                                   inst_rdata_i,
  input  logic [1:0]                                     inst_rresp_i,
  input  logic                                           inst_rvalid_i,
  output logic                                           inst_rready_o,
  // data memory, index = channel
  output logic [cosyn_pkg::ChannelsPerCore*40-1:0]       araddr_o,
  output logic [cosyn_pkg::ChannelsPerCore*8-1:0]        arlen_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]          arvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]          arready_i,
  input  logic [cosyn_pkg::StripeBytes*8-1:0]            rdata_i,
  input  logic [cosyn_pkg::ChannelsPerCore*2-1:0]        rresp_i,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]          rlast_i,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]          rvalid_i,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]          rready_o,
  output logic [cosyn_pkg::ChannelsPerCore*40-1:0]       awaddr_o,
  output logic [cosyn_pkg::ChannelsPerCore*8-1:0]        awlen_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]          awvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]          awready_i,
  output logic [cosyn_pkg::StripeBytes*8-1:0]            wdata_o,
  output logic [cosyn_pkg::StripeBytes-1:0]              wstrb_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]          wlast_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]          wvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]          wready_i,
  input  logic [cosyn_pkg::ChannelsPerCore*2-1:0]        bresp_i,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]          bvalid_i,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]          bready_o,
  // exchange
  output logic                                           x_valid_o,
  output logic [cosyn_pkg::SysOperationBits-1:0]         x_operation_o,
  output logic [cosyn_pkg::SysBaseBits-1:0]              x_base_o,
  output logic [cosyn_pkg::SysRowsBits-1:0]              x_rows_o,
  output logic [cosyn_pkg::SysRowStrideBits-1:0]         x_stride_o,
  output logic [cosyn_pkg::SysLinesBits-1:0]             x_lines_o,
  input  logic                                           x_done_i,
  input  logic                                           x_apart_i,      // a core has not come to the exchange yet
  input  logic                                           x_rd_req_i,
  input  logic [cosyn_pkg::VectorAddressBits-1:0]        x_rd_addr_i,
  output logic                                           x_rd_gnt_o,
  output logic                                           x_rd_valid_o,
  output logic [cosyn_pkg::LineBytes*8-1:0]              x_rd_data_o,
  input  logic                                           x_wr_req_i,
  input  logic [cosyn_pkg::VectorAddressBits-1:0]        x_wr_addr_i,
  input  logic [cosyn_pkg::LineBytes*8-1:0]              x_wr_data_i,
  output logic                                           x_wr_gnt_o
);
  localparam int Classes = cosyn_pkg::Opcodes;
  localparam int InstBits = cosyn_pkg::InstructionBits;
  localparam int Channels = cosyn_pkg::ChannelsPerCore;
  localparam int VA = cosyn_pkg::VectorAddressBits;
  localparam int AA = cosyn_pkg::ActivationAddressBits;
  localparam int LB = cosyn_pkg::LineBytes * 8;
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int LoadFlight = 16;
  localparam int StoreFlight = 16;
  localparam int Ld = 0;
  localparam int St = 1;
  localparam int Mm = 2;
  localparam int Mv = 3;
  localparam int Misc = 4;
  localparam int Sys = 5;

  // -- fetch -----------------------------------------------------------------------------------------------------------------
  logic [Classes-1:0]  push_valid, push_ready;
  logic [InstBits-1:0] push_inst;
  logic                fetch_active, fetch_idle, fetch_error;
  logic [7:0]          fetch_code;
  logic [31:0]         fetch_detail;

  cosyn_fetch u_fetch (
    .clk_i, .rst_i, .start_i, .halt_i, .base_i,
    .araddr_o(inst_araddr_o), .arvalid_o(inst_arvalid_o), .arready_i(inst_arready_i),
    .rdata_i(inst_rdata_i), .rresp_i(inst_rresp_i), .rvalid_i(inst_rvalid_i), .rready_o(inst_rready_o),
    .valid_o(push_valid), .ready_i(push_ready), .inst_o(push_inst),
    .active_o(fetch_active), .idle_o(fetch_idle), .fetched_o,
    .error_o(fetch_error), .error_code_o(fetch_code), .error_detail_o(fetch_detail)
  );

  // -- queues and tokens -------------------------------------------------------------------------------------------------------
  logic [Classes-1:0]          issue, tokens_ready, unit_valid, unit_ready, unit_done, queued, flight, waiting;
  logic [Classes*6-1:0]        wait_mask, release_mask;
  logic [Classes*InstBits-1:0] unit_inst;
  logic                        token_error;
  logic [7:0]                  token_code;
  logic [3:0]                  token_class;
  logic [31:0]                 token_detail;

  for (genvar i = 0; i < Classes; i++) begin : gen_queue
    cosyn_queue #(.InFlight(i == Ld ? LoadFlight : i == St ? StoreFlight : 2)) u_queue (
      .clk_i, .rst_i, .halt_i,
      .valid_i(push_valid[i]), .ready_o(push_ready[i]), .inst_i(push_inst),
      .wait_o(wait_mask[i*6 +: 6]), .tokens_ready_i(tokens_ready[i]), .issue_o(issue[i]),
      .release_o(release_mask[i*6 +: 6]),
      .unit_valid_o(unit_valid[i]), .unit_ready_i(unit_ready[i]), .unit_inst_o(unit_inst[i*InstBits +: InstBits]),
      .unit_done_i(unit_done[i]),
      .queued_o(queued[i]), .flight_o(flight[i]), .waiting_o(waiting[i])
    );
  end

  cosyn_tokens u_tokens (
    .clk_i, .rst_i,
    .issue_i(issue), .wait_i(wait_mask), .retire_i(unit_done), .release_i(release_mask), .ready_o(tokens_ready),
    .error_o(token_error), .error_code_o(token_code), .error_class_o(token_class), .error_detail_o(token_detail)
  );

  // -- load ----------------------------------------------------------------------------------------------------------------------
  logic                                 ring_valid, ring_select, ring_full, load_idle, load_error;
  logic [1:0]                           ring_ready;
  logic [cosyn_pkg::StripeBytes*8-1:0]  ring_data;
  logic                                 lw_req, lw_gnt;
  logic [VA-1:0]                        lw_addr;
  logic [LB-1:0]                        lw_data;
  logic [7:0]                           load_code;
  logic [31:0]                          load_detail, load_digest;

  cosyn_load #(.InFlight(LoadFlight)) u_load (
    .clk_i, .rst_i, .halt_i, .registers_i,
    .ld_valid_i(unit_valid[Ld]), .ld_ready_o(unit_ready[Ld]), .ld_inst_i(unit_inst[Ld*InstBits +: InstBits]),
    .ld_done_o(unit_done[Ld]), .ld_digest_o(load_digest),
    .araddr_o, .arlen_o, .arvalid_o, .arready_i, .rdata_i, .rresp_i, .rlast_i, .rvalid_i, .rready_o,
    .ring_valid_o(ring_valid), .ring_ready_i(ring_ready), .ring_select_o(ring_select), .ring_data_o(ring_data),
    .vw_req_o(lw_req), .vw_addr_o(lw_addr), .vw_data_o(lw_data), .vw_gnt_i(lw_gnt),
    .ring_full_o(ring_full), .idle_o(load_idle),
    .error_o(load_error), .error_code_o(load_code), .error_detail_o(load_detail)
  );

  // -- store ---------------------------------------------------------------------------------------------------------------------
  logic                                       sr_req, sr_gnt, store_idle, store_error;
  logic [VA-1:0]                              sr_addr;
  logic                                       act_req, act_gnt, act_valid;
  logic [7:0]                                 act_bank;
  logic [AA-1:0]                              act_addr;
  logic [cosyn_pkg::ActivationLineBytes*8-1:0] act_data;
  logic [2:0]                                 rd_req, rd_gnt, rd_valid;
  logic [3*VA-1:0]                            rd_addr;
  logic [LB-1:0]                              rd_data;
  logic [7:0]                                 store_code;
  logic [31:0]                                store_detail, store_digest;

  cosyn_store #(.InFlight(StoreFlight)) u_store (
    .clk_i, .rst_i, .halt_i, .registers_i,
    .st_valid_i(unit_valid[St]), .st_ready_o(unit_ready[St]), .st_inst_i(unit_inst[St*InstBits +: InstBits]),
    .st_done_o(unit_done[St]), .st_digest_o(store_digest),
    .vr_req_o(sr_req), .vr_addr_o(sr_addr), .vr_gnt_i(sr_gnt), .vr_valid_i(rd_valid[2]), .vr_data_i(rd_data),
    .act_req_o(act_req), .act_bank_o(act_bank), .act_addr_o(act_addr), .act_gnt_i(act_gnt),
    .act_valid_i(act_valid), .act_data_i(act_data),
    .awaddr_o, .awlen_o, .awvalid_o, .awready_i, .wdata_o, .wstrb_o, .wlast_o, .wvalid_o, .wready_i,
    .bresp_i, .bvalid_i, .bready_o,
    .idle_o(store_idle),
    .error_o(store_error), .error_code_o(store_code), .error_detail_o(store_detail)
  );
  assign sr_gnt = rd_gnt[2];

  // -- matrix engine ---------------------------------------------------------------------------------------------------------------
  logic          mr_req, mw_req, mw_gnt, array_active, ring_empty, drain_stall, matrix_error;
  logic [VA-1:0] mr_addr, mw_addr;
  logic [LB-1:0] mw_data;
  logic [7:0]    matrix_code;
  logic [31:0]   mm_digest, mv_digest;
  logic          aw_we;
  logic [7:0]    aw_bank;
  logic [AA-1:0] aw_addr;
  logic [15:0]   aw_slot;
  logic [Lanes*8-1:0] aw_data;

  cosyn_matrix_engine u_matrix (
    .clk_i, .rst_i, .registers_i,
    .mm_valid_i(unit_valid[Mm]), .mm_ready_o(unit_ready[Mm]), .mm_inst_i(unit_inst[Mm*InstBits +: InstBits]),
    .mm_done_o(unit_done[Mm]), .mm_digest_o(mm_digest),
    .mv_valid_i(unit_valid[Mv]), .mv_ready_o(unit_ready[Mv]), .mv_inst_i(unit_inst[Mv*InstBits +: InstBits]),
    .mv_done_o(unit_done[Mv]), .mv_digest_o(mv_digest),
    .ring_valid_i(ring_valid), .ring_ready_o(ring_ready), .ring_select_i(ring_select), .ring_data_i(ring_data),
    .act_we_i(aw_we), .act_bank_i(aw_bank), .act_addr_i(aw_addr), .act_slot_i(aw_slot), .act_data_i(aw_data),
    .st_act_req_i(act_req), .st_act_bank_i(act_bank), .st_act_addr_i(act_addr), .st_act_gnt_o(act_gnt),
    .st_act_valid_o(act_valid), .st_act_data_o(act_data),
    .vr_req_o(mr_req), .vr_addr_o(mr_addr), .vr_gnt_i(rd_gnt[1]), .vr_valid_i(rd_valid[1]), .vr_data_i(rd_data),
    .vw_req_o(mw_req), .vw_addr_o(mw_addr), .vw_data_o(mw_data), .vw_gnt_i(mw_gnt),
    .array_active_o(array_active), .ring_empty_o(ring_empty), .drain_stall_o(drain_stall),
    .error_o(matrix_error), .error_code_o(matrix_code)
  );

  // -- special-function unit and vector buffer ----------------------------------------------------------------------------------
  logic             r0_en, fw_req, fw_gnt, sfu_error;
  logic [VA-1:0]    r0_addr, fw_addr;
  logic [LB-1:0]    r0_data, fw_data;
  logic [Lanes-1:0] fw_mask;
  logic [7:0]       sfu_code;
  logic [31:0]      misc_digest;

  cosyn_sfu u_sfu (
    .clk_i, .rst_i, .registers_i,
    .misc_valid_i(unit_valid[Misc]), .misc_ready_o(unit_ready[Misc]),
    .misc_inst_i(unit_inst[Misc*InstBits +: InstBits]), .misc_done_o(unit_done[Misc]), .misc_digest_o(misc_digest),
    .r0_en_o(r0_en), .r0_addr_o(r0_addr), .r0_data_i(r0_data),
    .vw_req_o(fw_req), .vw_addr_o(fw_addr), .vw_data_o(fw_data), .vw_mask_o(fw_mask), .vw_gnt_i(fw_gnt),
    .act_we_o(aw_we), .act_bank_o(aw_bank), .act_addr_o(aw_addr), .act_slot_o(aw_slot), .act_data_o(aw_data),
    .error_o(sfu_error), .error_code_o(sfu_code)
  );

  assign rd_req  = {sr_req, mr_req, x_rd_req_i};
  assign rd_addr = {sr_addr, mr_addr, x_rd_addr_i};

  cosyn_vector_buffer u_vectors (
    .clk_i, .rst_i,
    .r0_en_i(r0_en), .r0_addr_i(r0_addr), .r0_data_o(r0_data),
    .rd_req_i(rd_req), .rd_addr_i(rd_addr), .rd_gnt_o(rd_gnt), .rd_valid_o(rd_valid), .rd_data_o(rd_data),
    .wr_req_i({lw_req, mw_req, fw_req, x_wr_req_i}),
    .wr_addr_i({lw_addr, mw_addr, fw_addr, x_wr_addr_i}),
    .wr_data_i({lw_data, mw_data, fw_data, x_wr_data_i}),
    .wr_mask_i({{Lanes{1'b1}}, {Lanes{1'b1}}, fw_mask, {Lanes{1'b1}}}),
    .wr_gnt_o({lw_gnt, mw_gnt, fw_gnt, x_wr_gnt_o})
  );
  assign x_rd_gnt_o   = rd_gnt[0];
  assign x_rd_valid_o = rd_valid[0];
  assign x_rd_data_o  = rd_data;

  // -- system ------------------------------------------------------------------------------------------------------------------
  logic others_idle;
  assign others_idle = (queued[Sys-1:0] | flight[Sys-1:0]) == '0;

  cosyn_system u_system (
    .clk_i, .rst_i, .halt_i,
    .sys_valid_i(unit_valid[Sys]), .sys_ready_o(unit_ready[Sys]), .sys_inst_i(unit_inst[Sys*InstBits +: InstBits]),
    .sys_done_o(unit_done[Sys]), .others_idle_i(others_idle), .finished_o,
    .x_valid_o, .x_operation_o, .x_base_o, .x_rows_o, .x_stride_o, .x_lines_o, .x_done_i
  );

  assign retire_o        = unit_done;
  assign retire_digest_o = {32'd0, misc_digest, mv_digest, mm_digest, store_digest, load_digest};
  assign quiet_o         = fetch_idle && load_idle && store_idle;
  assign state_o         = {10'd0, waiting, 2'd0, flight, 2'd0, queued};

  // -- counters and watchdog ---------------------------------------------------------------------------------------------------
  logic        running_q, watchdog_error;
  logic [3:0]  watchdog_class;
  logic [31:0] watchdog_detail;
  logic [7:0]  read_beats, write_beats;

  always_comb begin
    read_beats  = '0;
    write_beats = '0;
    for (int c = 0; c < Channels; c++) begin
      read_beats  = read_beats + 8'(rvalid_i[c] && rready_o[c]);
      write_beats = write_beats + 8'(wvalid_o[c] && wready_i[c]);
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) running_q <= 1'b0;
    else if (start_i) running_q <= 1'b1;
    else if (finished_o) running_q <= 1'b0;
  end

  cosyn_monitor u_monitor (
    .clk_i, .rst_i, .running_i(running_q), .halt_i,
    .retire_i(unit_done), .flight_i(flight), .queued_i(queued), .waiting_i(waiting),
    .array_active_i(array_active), .ring_empty_i(ring_empty), .ring_full_i(ring_full), .drain_stall_i(drain_stall),
    .read_beats_i(read_beats), .write_beats_i(write_beats), .instruction_beat_i(inst_rvalid_i && inst_rready_o),
    .meeting_wait_i(x_valid_o && x_apart_i),
    .counters_o,
    .error_o(watchdog_error), .error_class_o(watchdog_class), .error_detail_o(watchdog_detail)
  );

  // -- the first error ------------------------------------------------------------------------------------------------------------
  always_ff @(posedge clk_i) begin
    error_o <= !rst_i && (token_error || fetch_error || load_error || store_error || matrix_error || sfu_error
        || watchdog_error);
    if (token_error) begin
      {error_code_o, error_class_o, error_detail_o} <= {token_code, token_class, token_detail};
    end else if (fetch_error) begin
      {error_code_o, error_class_o, error_detail_o} <= {fetch_code, cosyn_control_pkg::NoClass, fetch_detail};
    end else if (load_error) begin
      {error_code_o, error_class_o, error_detail_o} <= {load_code, cosyn_pkg::OpLd, load_detail};
    end else if (store_error) begin
      {error_code_o, error_class_o, error_detail_o} <= {store_code, cosyn_pkg::OpSt, store_detail};
    end else if (matrix_error) begin
      {error_code_o, error_class_o, error_detail_o} <= {matrix_code,
          flight[Mm] ? cosyn_pkg::OpMm : cosyn_pkg::OpMv, 32'd0};
    end else if (sfu_error) begin
      {error_code_o, error_class_o, error_detail_o} <= {sfu_code, cosyn_pkg::OpMisc, 32'd0};
    end else begin
      {error_code_o, error_class_o, error_detail_o} <= {cosyn_control_pkg::ErrorWatchdog, watchdog_class,
          watchdog_detail};
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) assert (!finished_o || !fetch_active) else $error("%m: finished while fetch goes on");
  end
`endif
endmodule
