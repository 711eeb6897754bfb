// SPDX-License-Identifier: Apache-2.0
// Finished passes into the vector buffer: for every token of the group its scale is read, then a line of `Lanes` columns
// a cycle becomes f32, times the column scales, times the token scale. Takes rows x (lines of a tile + 1 if token scaled)
// cycles a pass when every read and write is granted; a line is offered for writing 10 cycles after its read.
// Order of writes: tile, token group, row, line. `done_o` comes the cycle after the instruction's last write.
module cosyn_drain #(
    parameter int HoldDepth = 4,
    localparam int HoldBits = $clog2(HoldDepth),
    localparam int VA = cosyn_pkg::VectorAddressBits,
    localparam int LineBits = 32 * cosyn_pkg::Lanes,
    localparam int Tokens = cosyn_pkg::TokenGroup,
    localparam int TokenBits = $clog2(Tokens),
    localparam int TileLines = cosyn_pkg::TileColumns / cosyn_pkg::Lanes,
    localparam int TileLineBits = TileLines > 1 ? $clog2(TileLines) : 1
) (
    input  logic                    clk_i,
    input  logic                    rst_i,
    input  logic                    start_i,
    // instruction, steady from the cycle after start_i
    input  logic [            15:0] tiles_i,
    input  logic [             9:0] rows_i,
    input  logic [            19:0] column_scale_i,
    input  logic                    column_scaled_i,
    input  logic [            23:0] token_scale_i,
    input  logic                    token_scaled_i,
    input  logic [            19:0] destination_i,
    input  logic [            19:0] destination_stride_i,
    // array
    input  logic                    reserve_i,      // the last step of a pass has started
    output logic                    result_free_o,  // there is room for the results of one more pass
    input  logic                    captured_i,
    output logic                    read_o,
    output logic [    HoldBits-1:0] read_slot_o,
    output logic [   TokenBits-1:0] read_token_o,
    output logic [TileLineBits-1:0] read_line_o,
    input  logic [    LineBits-1:0] line_i,
    // vector buffer
    output logic                    vr_req_o,
    output logic [          VA-1:0] vr_addr_o,
    input  logic                    vr_gnt_i,
    input  logic                    vr_valid_i,
    input  logic [    LineBits-1:0] vr_data_i,
    output logic                    vw_req_o,
    output logic [          VA-1:0] vw_addr_o,
    output logic [    LineBits-1:0] vw_data_o,
    input  logic                    vw_gnt_i,
    // end of the instruction
    output logic                    done_o,
    output logic [            31:0] digest_o,
    output logic                    out_of_range_o
);
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int LaneBits = cosyn_pkg::LaneBits;
  localparam int Stages = 9;  // from the issue of a line to its arrival in the FIFO
  localparam int Fifo = 16;
  localparam logic [31:0] One = 32'h3F800000;
  localparam int Wide = 26;  // addresses before they are checked

  // -- passes that wait ---------------------------------------------------------------------------------------------------

  logic [HoldBits:0] free_q, waiting_q;
  logic [HoldBits-1:0] slot_q;
  logic pass_read;

  assign result_free_o = free_q != '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      free_q    <= (HoldBits + 1)'(HoldDepth);
      waiting_q <= '0;
      slot_q    <= '0;
    end else begin
      free_q    <= free_q - (HoldBits + 1)'(reserve_i) + (HoldBits + 1)'(pass_read);
      waiting_q <= waiting_q + (HoldBits + 1)'(captured_i) - (HoldBits + 1)'(pass_read);
      if (pass_read) slot_q <= slot_q + 1'b1;
    end
  end

  // -- sequence of reads --------------------------------------------------------------------------------------------------

  logic starting_q, scaled_q;  // scaled_q: this row's token scale is on its way
  logic [TokenBits-1:0] token_q;
  logic [TileLineBits-1:0] line_q;
  logic [9:0] row_q;
  logic [15:0] tiles_q;
  logic [Wide-1:0] column_q, to_tile_q, to_row_q, word_q;
  logic [4:0] room_q;
  logic is_token, needs_read, offers, issue, issue_line, row_end, tile_end, last;
  logic [Wide-1:0] read_line, to_line;
  logic bad_read, bad_write;
  logic popped;

  assign is_token   = token_scaled_i && !scaled_q;
  assign needs_read = is_token || column_scaled_i;
  assign read_line  = is_token ? word_q >> LaneBits : column_q + Wide'(line_q);
  assign to_line    = to_row_q + Wide'(line_q);
  assign bad_read   = needs_read && read_line >= Wide'(cosyn_pkg::VectorLines);
  assign bad_write  = !is_token && to_line >= Wide'(cosyn_pkg::VectorLines);
  // A scale beyond the buffer is not read: the drain stops there until reset.
  assign offers     = waiting_q != '0 && (is_token || room_q != '0);
  assign vr_req_o   = offers && needs_read && !bad_read;
  assign vr_addr_o  = read_line[VA-1:0];
  assign issue      = offers && (!needs_read || (vr_gnt_i && !bad_read));
  assign issue_line = issue && !is_token;
  assign row_end    = int'(line_q) == TileLines - 1;
  assign tile_end   = row_end && row_q == rows_i - 10'd1;
  assign pass_read  = issue_line && row_end && (tile_end || int'(token_q) == Tokens - 1);
  assign last       = tile_end && tiles_q == 16'd1;
  assign out_of_range_o = (offers && bad_read) || (issue && bad_write);

  assign read_o       = issue_line;
  assign read_slot_o  = slot_q;
  assign read_token_o = token_q;
  assign read_line_o  = line_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      starting_q <= 1'b0;
      room_q     <= 5'(Fifo);
    end else begin
      starting_q <= start_i;
      room_q     <= room_q - 5'(issue_line) + 5'(popped);
    end

    if (starting_q) begin
      scaled_q  <= 1'b0;
      token_q   <= '0;
      line_q    <= '0;
      row_q     <= '0;
      tiles_q   <= tiles_i;
      column_q  <= Wide'(column_scale_i);
      to_tile_q <= Wide'(destination_i);
      to_row_q  <= Wide'(destination_i);
      word_q    <= Wide'(token_scale_i);
    end else if (issue) begin
      scaled_q <= is_token || !row_end;
      if (issue_line) begin
        line_q <= row_end ? '0 : line_q + 1'b1;
        if (row_end) begin
          token_q  <= tile_end ? '0 : token_q + 1'b1;
          row_q    <= tile_end ? '0 : row_q + 1'b1;
          word_q   <= tile_end ? Wide'(token_scale_i) : word_q + 1'b1;
          to_row_q <= tile_end ? to_tile_q + Wide'(TileLines) : to_row_q + Wide'(destination_stride_i);
        end
        if (tile_end) begin
          to_tile_q <= to_tile_q + Wide'(TileLines);
          column_q  <= column_q + Wide'(TileLines);
          tiles_q   <= tiles_q - 1'b1;
        end
      end
    end
  end

  // -- arithmetic: 1 line register, 2 conversion, 3 column scale, 3 token scale ---------------------------------------------

  logic [Stages:1] valid_q, last_q, bad_q;
  logic [Stages*VA-1:0] to_q;  // stage s at [(s - 1) VA]
  logic read_token1_q, read_token2_q;
  logic [2*LaneBits-1:0] lane_q;
  logic [31:0] token_scale_q;
  logic [95:0] token_scales_q;  // of the lines in the column multiplier
  logic [LineBits-1:0] column_scale_q, converted, half_scaled, scaled;
  logic en;

  assign en = |valid_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_q       <= '0;
      read_token1_q <= 1'b0;
      read_token2_q <= 1'b0;
    end else begin
      valid_q       <= {valid_q[Stages-1:1], issue_line};
      read_token1_q <= issue && is_token;
      read_token2_q <= read_token1_q;
    end
    last_q <= {last_q[Stages-1:1], last};
    bad_q  <= {bad_q[Stages-1:1], bad_write};
    to_q   <= {to_q[(Stages-1)*VA-1:0], to_line[VA-1:0]};
    lane_q <= {lane_q[LaneBits-1:0], word_q[LaneBits-1:0]};

    if (starting_q) token_scale_q <= One;
    else if (read_token2_q) token_scale_q <= vr_data_i[{lane_q[2*LaneBits-1:LaneBits], 5'd0}+:32];
    if (starting_q) column_scale_q <= {Lanes{One}};
    else if (valid_q[2] && column_scaled_i) column_scale_q <= vr_data_i;
    if (en) token_scales_q <= {token_scales_q[63:0], token_scale_q};
  end

  for (genvar i = 0; i < Lanes; i++) begin : g_lane
    cosyn_fp_from_int32_gated convert (
        .clk_i,
        .en_i(en),
        .a_i(line_i[32*i+:32]),
        .y_o(converted[32*i+:32])
    );
    cosyn_fp_multiply_gated by_column (
        .clk_i,
        .en_i(en),
        .a_i(converted[32*i+:32]),
        .b_i(column_scale_q[32*i+:32]),
        .y_o(half_scaled[32*i+:32])
    );
    cosyn_fp_multiply_gated by_token (
        .clk_i,
        .en_i(en),
        .a_i(half_scaled[32*i+:32]),
        .b_i(token_scales_q[95:64]),
        .y_o(scaled[32*i+:32])
    );
  end

  // -- lines that wait to be written ------------------------------------------------------------------------------------------

  logic out_valid, out_last, out_bad, fifo_ready;
  logic [VA-1:0] out_to;
  logic [4:0] fifo_count;

  cosyn_fifo #(
      .Width(LineBits + VA + 2),
      .Depth(Fifo)
  ) lines (
      .clk_i,
      .rst_i,
      .valid_i(valid_q[Stages]),
      .ready_o(fifo_ready),
      .data_i({last_q[Stages], bad_q[Stages], to_q[(Stages-1)*VA+:VA], scaled}),
      .valid_o(out_valid),
      .ready_i(popped),
      .data_o({out_last, out_bad, out_to, vw_data_o}),
      .count_o(fifo_count)
  );

  assign vw_req_o  = out_valid && !out_bad;
  assign vw_addr_o = out_to;
  assign popped    = out_valid && (out_bad || vw_gnt_i);

  function automatic logic [31:0] folded(input logic [LineBits-1:0] line);
    folded = '0;
    for (int i = 0; i < Lanes; i++) folded = folded ^ line[32*i+:32];
  endfunction

  always_ff @(posedge clk_i) begin
    if (rst_i) done_o <= 1'b0;
    else done_o <= popped && out_last;
    if (starting_q) digest_o <= '0;
    else if (vw_req_o && vw_gnt_i) digest_o <= {digest_o[30:0], digest_o[31]} ^ folded(vw_data_o) ^ 32'(out_to);
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      if (valid_q[Stages]) assert (fifo_ready && int'(fifo_count) < Fifo) else $error("%m: a result was lost");
      if (reserve_i) assert (result_free_o) else $error("%m: results reserved without room");
      if (read_token2_q || (valid_q[2] && column_scaled_i))
        assert (vr_valid_i) else $error("%m: a scale did not come two cycles after its grant");
      if (start_i) assert (waiting_q == '0 && !en && !out_valid) else $error("%m: started before the last end");
    end
  end
`else
  logic unused;
  assign unused = ^{vr_valid_i, fifo_ready, fifo_count};
`endif
endmodule
