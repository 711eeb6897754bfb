// SPDX-License-Identifier: Apache-2.0
// Writes what a pass makes: lines or words to the vector buffer (waiting for its grant; words first), or INT8 lines
// to the activation buffer, and keeps the pass's digest. A line is offered in the cycle after it came; an INT8 line
// goes out two cycles after it came. Nothing is lost as long as no more lines and words are open than the FIFOs hold.
// `finished_o` one cycle after the last write, `digest_o` two.
module cosyn_sfu_write #(
    parameter int LineDepth = 32,
    parameter int WordDepth = 16
) (
    input  logic                                   clk_i,
    input  logic                                   rst_i,
    input  logic                                   load_i,
    input  logic                                   en_i,
    // The whole instruction; other parts of the unit use the other fields.
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ cosyn_pkg::InstructionBits-1:0] inst_i,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [                           15:0] lines_i,         // per row
    input  logic                                   valid_i,         // a line of the pass
    input  logic [     cosyn_pkg::LineBytes*8-1:0] y_i,
    input  logic                                   result_valid_i,  // a row's reduction
    input  logic [                           31:0] result_i,
    output logic                                   vw_req_o,
    output logic [cosyn_pkg::VectorAddressBits-1:0] vw_addr_o,
    output logic [     cosyn_pkg::LineBytes*8-1:0] vw_data_o,
    output logic [           cosyn_pkg::Lanes-1:0] vw_mask_o,
    input  logic                                   vw_gnt_i,
    output logic                                   act_we_o,
    output logic [                            7:0] act_bank_o,
    output logic [cosyn_pkg::ActivationAddressBits-1:0] act_addr_o,
    output logic [                           15:0] act_slot_o,
    output logic [         cosyn_pkg::Lanes*8-1:0] act_data_o,
    output logic                                   line_written_o,
    output logic                                   row_written_o,
    output logic                                   outside_o,
    output logic                                   finished_o,
    output logic [                           31:0] digest_o
);
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int LaneBits = cosyn_pkg::LaneBits;
  localparam int LineBits = cosyn_pkg::LineBytes * 8;
  localparam int RowBits = cosyn_pkg::MiscRowsBits;
  localparam int Banks = cosyn_pkg::TokenGroup;
  localparam int BankBits = $clog2(Banks);
  localparam int Slots = cosyn_pkg::ActivationLineBytes / Lanes;

  logic to_vector, to_activation, reduces;
  assign to_vector = inst_i[cosyn_pkg::MiscOutputLow+:cosyn_pkg::MiscOutputBits] == cosyn_pkg::OutputVector;
  assign to_activation = inst_i[cosyn_pkg::MiscOutputLow+:cosyn_pkg::MiscOutputBits] == cosyn_pkg::OutputActivation;
  assign reduces = inst_i[cosyn_pkg::MiscReductionLow+:cosyn_pkg::MiscReductionBits] != cosyn_pkg::ReductionNone;

  // -- What waits for the vector buffer -------------------------------------------------------------------------
  logic line_valid, line_ready, line_room, word_valid, word_ready, word_room;
  logic [LineBits-1:0] line_data;
  logic [31:0] word_data;
  logic [$clog2(LineDepth+1)-1:0] line_count_unused;
  logic [$clog2(WordDepth+1)-1:0] word_count_unused;

  cosyn_fifo #(
      .Width(LineBits),
      .Depth(LineDepth)
  ) u_lines (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .valid_i(valid_i && to_vector),
      .ready_o(line_room),
      .data_i (y_i),
      .valid_o(line_valid),
      .ready_i(line_ready),
      .data_o (line_data),
      .count_o(line_count_unused)
  );

  cosyn_fifo #(
      .Width(32),
      .Depth(WordDepth)
  ) u_words (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .valid_i(result_valid_i),
      .ready_o(word_room),
      .data_i (result_i),
      .valid_o(word_valid),
      .ready_i(word_ready),
      .data_o (word_data),
      .count_o(word_count_unused)
  );

  // An offer stays as it is until it is granted.
  logic held_q, held_word_q, word_turn;
  assign word_turn = held_q ? held_word_q : word_valid;

  always_ff @(posedge clk_i) begin
    held_q <= !rst_i && vw_req_o && !vw_gnt_i;
    held_word_q <= word_turn;
  end

  logic [24:0] address, word_address;
  logic vector_outside;
  assign vw_req_o = word_valid || line_valid;
  assign vw_addr_o = word_turn ? word_address[LaneBits+:cosyn_pkg::VectorAddressBits] :
      address[cosyn_pkg::VectorAddressBits-1:0];
  assign vw_data_o = word_turn ? {Lanes{word_data}} : line_data;
  assign vector_outside = word_turn ? word_address >= 25'(cosyn_pkg::VectorLines * Lanes) :
      address >= 25'(cosyn_pkg::VectorLines);
  always_comb begin
    for (int i = 0; i < Lanes; i++) begin
      vw_mask_o[i] = !vector_outside && (!word_turn || word_address[LaneBits-1:0] == LaneBits'(i));
    end
  end
  assign word_ready = vw_gnt_i && word_turn;
  assign line_ready = vw_gnt_i && !word_turn && line_valid;
  assign row_written_o = word_ready;
  assign line_written_o = line_ready;

  // -- INT8 to the activation buffer ----------------------------------------------------------------------------
  logic [1:0] rounding_q;
  logic [15:0] slot_q;
  logic [7:0] bank_q;
  logic act_valid, last_slot, last_bank;

  generate
    for (genvar i = 0; i < Lanes; i++) begin : g_lane
      cosyn_fp_to_int8 u_round (
          .clk_i(clk_i),
          .en_i (en_i && to_activation),
          .a_i  (y_i[i*32+:32]),
          .y_o  (act_data_o[i*8+:8])
      );
    end
  endgenerate

  always_ff @(posedge clk_i) begin
    if (rst_i) rounding_q <= 2'b00;
    else rounding_q <= {rounding_q[0], valid_i && to_activation};
  end

  assign act_valid = rounding_q[1];
  assign act_we_o = act_valid && address < 25'(cosyn_pkg::ActivationLines);
  assign act_bank_o = bank_q;
  assign act_addr_o = address[cosyn_pkg::ActivationAddressBits-1:0];
  assign act_slot_o = slot_q;
  assign last_slot = slot_q == 16'(Slots - 1);
  assign last_bank = bank_q == 8'(Banks - 1);

  // -- Where elements go ----------------------------------------------------------------------------------------
  logic element, row_end, load_q;
  logic [15:0] lines_left_q;
  logic [RowBits-1:0] rows_left_q, results_left_q, first_row;
  logic [29:0] skipped_q;  // activation lines before the first row's
  logic [23:0] destination;

  assign element = to_vector ? line_ready : to_activation ? act_valid : valid_i;
  assign row_end = element && lines_left_q == 16'd1;
  assign first_row = inst_i[cosyn_pkg::MiscDestinationRowLow+:RowBits];
  assign destination = 24'(inst_i[cosyn_pkg::MiscDestinationLow+:cosyn_pkg::MiscDestinationBits]);

  always_ff @(posedge clk_i) begin
    load_q <= load_i;
    if (load_i) begin
      skipped_q <= 30'(first_row >> BankBits) * 30'(inst_i[cosyn_pkg::MiscDestinationStrideLow+:20]);
      slot_q <= 16'd0;
      bank_q <= 8'(first_row & RowBits'(Banks - 1));
      lines_left_q <= lines_i;
      rows_left_q <= inst_i[cosyn_pkg::MiscRowsLow+:RowBits];
      results_left_q <= reduces ? inst_i[cosyn_pkg::MiscRowsLow+:RowBits] : '0;
    end else begin
      if (act_valid) slot_q <= row_end || last_slot ? 16'd0 : slot_q + 16'd1;
      if (act_valid && row_end) bank_q <= last_bank ? 8'd0 : bank_q + 8'd1;
      if (element) lines_left_q <= row_end ? lines_i : lines_left_q - 16'd1;
      if (row_end) rows_left_q <= rows_left_q - 1'b1;
      if (row_written_o) results_left_q <= results_left_q - 1'b1;
    end
  end

  cosyn_sfu_address u_destination (
      .clk_i    (clk_i),
      .load_i   (load_q),
      .first_i  (to_activation && (|skipped_q[29:24]) ? 24'hFFFFFF : destination + (to_activation ? skipped_q[23:0] : 24'd0)),
      .stride_i (inst_i[cosyn_pkg::MiscDestinationStrideLow+:cosyn_pkg::MiscDestinationStrideBits]),
      .words_i  (1'b0),
      .step_i   (element && (!to_activation || last_slot)),
      .row_end_i(row_end),
      .advance_i(!to_activation || last_bank),
      .address_o(address)
  );

  cosyn_sfu_address u_word (
      .clk_i    (clk_i),
      .load_i   (load_q),
      .first_i  (inst_i[cosyn_pkg::MiscReduceToLow+:cosyn_pkg::MiscReduceToBits]),
      .stride_i (20'd0),
      .words_i  (1'b1),
      .step_i   (row_written_o),
      .row_end_i(1'b0),
      .advance_i(1'b0),
      .address_o(word_address)
  );

  assign outside_o = (vw_req_o && vw_gnt_i && vector_outside) || (act_valid && !act_we_o);
  assign finished_o = rows_left_q == '0 && results_left_q == '0;

  // -- Digest ---------------------------------------------------------------------------------------------------
  localparam int ActWords = (Lanes * 8 + 31) / 32;
  logic [31:0] line_fold, act_fold;
  logic digests;

  cosyn_fold #(.Words(Lanes)) u_line_fold (
      .data_i(line_data),
      .fold_o(line_fold)
  );

  cosyn_fold #(.Words(ActWords)) u_act_fold (
      .data_i((ActWords * 32)'(act_data_o)),
      .fold_o(act_fold)
  );

  assign digests = element && (to_vector || to_activation);

  cosyn_sfu_digest u_digest (
      .clk_i         (clk_i),
      .load_i        (load_i),
      .lines_i       (to_vector || to_activation ? lines_i[4:0] : 5'd0),
      .reduces_i     (reduces),
      .element_i     (digests),
      .row_end_i     (row_end),
      .element_word_i((to_activation ? act_fold : line_fold) ^ 32'(address)),
      .result_i      (row_written_o),
      .result_word_i (word_data ^ 32'(word_address[24:LaneBits])),
      .digest_o      (digest_o)
  );

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      if (valid_i && to_vector) assert (line_room) else $error("%m: a line came while the FIFO was full");
      if (result_valid_i) assert (word_room) else $error("%m: a reduction came while the FIFO was full");
      if (vw_gnt_i) assert (vw_req_o) else $error("%m: a grant without a request");
      if (element) assert (rows_left_q != '0) else $error("%m: more lines than the pass has");
      if (row_written_o) assert (results_left_q != '0) else $error("%m: more reductions than the pass has rows");
    end
  end
`endif
endmodule
