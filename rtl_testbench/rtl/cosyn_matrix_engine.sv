// SPDX-License-Identifier: Apache-2.0
// MM and MV: tile streams from the weight rings times rows of the activation buffer, scaled into the vector buffer.
// One instruction at a time, MM first when both are offered. A pass over a tile takes max(steps, words) cycles in MV and
// max(2 steps, words) in MM; tiles and passes follow each other without a gap, results drain meanwhile.
// Timing from acceptance to done_o: rtl_testbench/matrix_engine/README.md.
module cosyn_matrix_engine #(
`ifdef SYNTHESIS
    parameter bit Structural = 1'b1,
`else
    parameter bit Structural = 1'b0,
`endif
    localparam int VA = cosyn_pkg::VectorAddressBits,
    localparam int AA = cosyn_pkg::ActivationAddressBits,
    localparam int VectorBits = 8 * cosyn_pkg::LineBytes,
    localparam int ActivationBits = 8 * cosyn_pkg::ActivationLineBytes
) (
    input  logic                             clk_i,
    input  logic                             rst_i,
    input  logic [cosyn_pkg::Registers*32-1:0] registers_i,
    // MM
    input  logic                             mm_valid_i,
    output logic                             mm_ready_o,
    input  logic [                    511:0] mm_inst_i,
    output logic                             mm_done_o,
    output logic [                     31:0] mm_digest_o,
    // MV
    input  logic                             mv_valid_i,
    output logic                             mv_ready_o,
    input  logic [                    511:0] mv_inst_i,
    output logic                             mv_done_o,
    output logic [                     31:0] mv_digest_o,
    // weight rings, from LD
    input  logic                             ring_valid_i,
    output logic [                      1:0] ring_ready_o,
    input  logic                             ring_select_i,
    input  logic [8*cosyn_pkg::StripeBytes-1:0] ring_data_i,
    // activation buffer: writes, from MISC
    input  logic                             act_we_i,
    input  logic [                      7:0] act_bank_i,
    input  logic [                   AA-1:0] act_addr_i,
    input  logic [                     15:0] act_slot_i,
    input  logic [  8*cosyn_pkg::Lanes-1:0] act_data_i,
    // activation buffer: reads of ST
    input  logic                             st_act_req_i,
    input  logic [                      7:0] st_act_bank_i,
    input  logic [                   AA-1:0] st_act_addr_i,
    output logic                             st_act_gnt_o,
    output logic                             st_act_valid_o,
    output logic [       ActivationBits-1:0] st_act_data_o,
    // vector buffer
    output logic                             vr_req_o,
    output logic [                   VA-1:0] vr_addr_o,
    input  logic                             vr_gnt_i,
    input  logic                             vr_valid_i,
    input  logic [           VectorBits-1:0] vr_data_i,
    output logic                             vw_req_o,
    output logic [                   VA-1:0] vw_addr_o,
    output logic [           VectorBits-1:0] vw_data_o,
    input  logic                             vw_gnt_i,
    // events
    output logic                             array_active_o,  // a (half) step enters the array
    output logic                             ring_empty_o,    // the next word is not in the ring yet
    output logic                             drain_stall_o,   // a pass waits for the drain
    output logic                             error_o,         // stays until reset
    output logic [                      7:0] error_code_o
);
  localparam int HoldDepth = 4;
  localparam int HoldBits = $clog2(HoldDepth);
  localparam int WordBits = 8 * cosyn_pkg::WordBytes;
  localparam int Tokens = cosyn_pkg::TokenGroup;
  localparam int TokenBits = $clog2(Tokens);
  localparam int TileLines = cosyn_pkg::TileColumns / cosyn_pkg::Lanes;
  localparam int TileLineBits = TileLines > 1 ? $clog2(TileLines) : 1;

  localparam logic [1:0] Idle = 2'd0, Decode = 2'd1, Start = 2'd2, Run = 2'd3;

  // -- instructions ---------------------------------------------------------------------------------------------------------

  logic [1:0] state_q;
  logic mm_q;
  logic [511:0] inst_q;
  logic start, done, illegal;
  logic [31:0] digest;

  logic ring, column_scaled, token_scaled;
  logic [1:0] bits, kept;
  logic [11:0] group_steps, row_lines;
  logic [15:0] steps, tiles;
  logic [9:0] rows, passes;
  logic [7:0] bank;
  logic [16:0] line;
  logic [19:0] column_scale, destination, destination_stride;
  logic [23:0] token_scale;

  assign mm_ready_o  = state_q == Idle && !error_o;
  assign mv_ready_o  = state_q == Idle && !error_o && !mm_valid_i;
  assign start       = state_q == Start && !illegal;
  assign mm_done_o   = done && mm_q;
  assign mv_done_o   = done && !mm_q;
  assign mm_digest_o = digest;
  assign mv_digest_o = digest;

  always_ff @(posedge clk_i) begin
    if (rst_i) state_q <= Idle;
    else begin
      case (state_q)
        Idle:    if ((mm_valid_i || mv_valid_i) && !error_o) state_q <= Decode;
        Decode:  state_q <= Start;
        Start:   state_q <= Run;
        default: if (done) state_q <= Idle;
      endcase
    end
    if (state_q == Idle) begin
      mm_q   <= mm_valid_i;
      inst_q <= mm_valid_i ? mm_inst_i : mv_inst_i;
    end
  end

  cosyn_matrix_decode decoder (
      .clk_i,
      .decode_i(state_q == Decode),
      .mm_i(mm_q),
      .inst_i(inst_q),
      .registers_i,
      .ring_o(ring),
      .bits_o(bits),
      .kept_o(kept),
      .group_steps_o(group_steps),
      .steps_o(steps),
      .tiles_o(tiles),
      .rows_o(rows),
      .passes_o(passes),
      .bank_o(bank),
      .line_o(line),
      .row_lines_o(row_lines),
      .column_scale_o(column_scale),
      .column_scaled_o(column_scaled),
      .token_scale_o(token_scale),
      .token_scaled_o(token_scaled),
      .destination_o(destination),
      .destination_stride_o(destination_stride),
      .illegal_o(illegal)
  );

  // -- errors ---------------------------------------------------------------------------------------------------------------

  logic line_out_of_range, vector_out_of_range;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      error_o      <= 1'b0;
      error_code_o <= '0;
    end else if (!error_o) begin
      if (state_q == Start && illegal) begin
        error_o      <= 1'b1;
        error_code_o <= cosyn_control_pkg::ErrorUnit;
      end else if (line_out_of_range || vector_out_of_range) begin
        error_o      <= 1'b1;
        error_code_o <= cosyn_control_pkg::ErrorAddressRange;
      end
    end
  end

  // -- words ----------------------------------------------------------------------------------------------------------------

  logic sparse, want, free_word, rewind, take, empty, word_valid, word_ready;
  logic [1:0] tag, word_tag;
  logic [WordBits-1:0] word;

  assign sparse = kept != cosyn_pkg::KeptDense;

  cosyn_word_sequence sequence_of_words (
      .clk_i,
      .rst_i,
      .start_i(start),
      .bits_i(bits),
      .sparse_i(sparse),
      .group_steps_i(group_steps),
      .steps_i(steps),
      .tiles_i(tiles),
      .passes_i(passes),
      .want_o(want),
      .tag_o(tag),
      .free_o(free_word),
      .rewind_o(rewind),
      .take_i(take)
  );

  cosyn_weight_ring rings (
      .clk_i,
      .rst_i,
      .write_valid_i(ring_valid_i),
      .write_ready_o(ring_ready_o),
      .write_ring_i(ring_select_i),
      .write_data_i(ring_data_i),
      .ring_i(ring),
      .want_i(want),
      .tag_i(tag),
      .free_i(free_word),
      .rewind_i(rewind),
      .take_o(take),
      .empty_o(empty),
      .word_valid_o(word_valid),
      .word_tag_o(word_tag),
      .word_o(word),
      .word_ready_i(word_ready)
  );

  // -- steps ----------------------------------------------------------------------------------------------------------------

  logic tokens_valid, result_free, fire, step_done, pass_done;
  logic step_valid, half, first, last;
  logic [WordBits-1:0] weight0, weight1;
  logic [WordBits/2-1:0] index;
  logic [8*cosyn_pkg::TileColumns-1:0] scale;
  logic [Tokens*ActivationBits-1:0] window;

  cosyn_dequantizer dequantizer (
      .clk_i,
      .rst_i,
      .start_i(start),
      .mm_i(mm_q),
      .bits_i(bits),
      .sparse_i(sparse),
      .group_steps_i(group_steps),
      .steps_i(steps),
      .word_valid_i(word_valid),
      .word_tag_i(word_tag),
      .word_i(word),
      .word_ready_o(word_ready),
      .token_valid_i(tokens_valid),
      .result_free_i(result_free),
      .fire_o(fire),
      .step_done_o(step_done),
      .pass_done_o(pass_done),
      .blocked_o(drain_stall_o),
      .valid_o(step_valid),
      .half_o(half),
      .first_o(first),
      .last_o(last),
      .weight0_o(weight0),
      .weight1_o(weight1),
      .index_o(index),
      .scale_o(scale)
  );

  cosyn_activation_buffer activations (
      .clk_i,
      .rst_i,
      .act_we_i,
      .act_bank_i,
      .act_addr_i,
      .act_slot_i,
      .act_data_i,
      .st_act_req_i,
      .st_act_bank_i,
      .st_act_addr_i,
      .st_act_gnt_o,
      .st_act_valid_o,
      .st_act_data_o,
      .start_i(start),
      .mm_i(mm_q),
      .kept_i(kept),
      .bank_i(bank),
      .line_i(line),
      .row_lines_i(row_lines),
      .steps_i(steps),
      .tiles_i(tiles),
      .passes_i(passes),
      .valid_o(tokens_valid),
      .fire_i(fire),
      .pop_i(step_done),
      .window_o(window),
      .out_of_range_o(line_out_of_range)
  );

  // -- array and drain ------------------------------------------------------------------------------------------------------

  logic captured, read;
  logic [HoldBits-1:0] read_slot;
  logic [TokenBits-1:0] read_token;
  logic [TileLineBits-1:0] read_line;
  logic [VectorBits-1:0] result_line;

  cosyn_matrix_array #(
      .Structural(Structural),
      .HoldDepth(HoldDepth)
  ) array (
      .clk_i,
      .rst_i,
      .mv_i(!mm_q),
      .sparse_i(sparse),
      .valid_i(step_valid),
      .half_i(half),
      .first_i(first),
      .last_i(last),
      .weight0_i(weight0),
      .weight1_i(weight1),
      .index_i(index),
      .scale_i(scale),
      .window_i(window),
      .captured_o(captured),
      .read_i(read),
      .read_slot_i(read_slot),
      .read_token_i(read_token),
      .read_line_i(read_line),
      .line_o(result_line)
  );

  cosyn_drain #(
      .HoldDepth(HoldDepth)
  ) drain (
      .clk_i,
      .rst_i,
      .start_i(start),
      .tiles_i(tiles),
      .rows_i(rows),
      .column_scale_i(column_scale),
      .column_scaled_i(column_scaled),
      .token_scale_i(token_scale),
      .token_scaled_i(token_scaled),
      .destination_i(destination),
      .destination_stride_i(destination_stride),
      .reserve_i(pass_done),
      .result_free_o(result_free),
      .captured_i(captured),
      .read_o(read),
      .read_slot_o(read_slot),
      .read_token_o(read_token),
      .read_line_o(read_line),
      .line_i(result_line),
      .vr_req_o,
      .vr_addr_o,
      .vr_gnt_i,
      .vr_valid_i,
      .vr_data_i,
      .vw_req_o,
      .vw_addr_o,
      .vw_data_o,
      .vw_gnt_i,
      .done_o(done),
      .digest_o(digest),
      .out_of_range_o(vector_out_of_range)
  );

  assign array_active_o = step_valid;
  assign ring_empty_o   = empty;

`ifndef SYNTHESIS
  logic mm_held_q, mv_held_q;
  logic [511:0] mm_held_inst_q, mv_held_inst_q;
  always_ff @(posedge clk_i) begin
    mm_held_q      <= !rst_i && mm_valid_i && !mm_ready_o;
    mv_held_q      <= !rst_i && mv_valid_i && !mv_ready_o;
    if (mm_valid_i) mm_held_inst_q <= mm_inst_i;
    if (mv_valid_i) mv_held_inst_q <= mv_inst_i;
    if (!rst_i) begin
      if (mm_held_q) assert (mm_valid_i && mm_inst_i === mm_held_inst_q) else $error("%m: MM changed before it was taken");
      if (mv_held_q) assert (mv_valid_i && mv_inst_i === mv_held_inst_q) else $error("%m: MV changed before it was taken");
      if (done) assert (state_q == Run) else $error("%m: done without an instruction");
    end
  end
`endif
endmodule
