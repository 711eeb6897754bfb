// SPDX-License-Identifier: Apache-2.0
// Joins the partial results of all lanes into the result of a row, lane by lane: (P0 + P1) + (P2 + P3) of each lane,
// then a balanced tree over the lanes; or the maximum of P0. Takes a row every `Lanes` cycles. The result comes
// Lanes + 8 + 4 log2(Lanes) cycles after `valid_i` for sums, Lanes + 1 for maxima.
module cosyn_sfu_join (
    input  logic                            clk_i,
    input  logic                            rst_i,
    input  logic                            en_i,
    input  logic                            maximum_i,
    input  logic                            valid_i,
    input  logic [cosyn_pkg::Lanes*128-1:0] partials_i,
    output logic                            valid_o,
    output logic [                    31:0] result_o
);
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int Levels = cosyn_pkg::LaneBits;

  logic [Lanes*128-1:0] row_q;
  logic [Levels:0] left_q;  // lanes that are still in row_q
  logic busy, first_q;

  assign busy = left_q != '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) left_q <= '0;
    else if (en_i) begin
      if (valid_i) left_q <= (Levels + 1)'(Lanes);
      else if (busy) left_q <= left_q - 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      first_q <= valid_i;
      if (valid_i) row_q <= partials_i;
      else if (busy) row_q <= row_q >> 128;
    end
  end

  // Sums.
  logic sums;
  logic [31:0] low, high;
  logic [7:0] valid_q;
  logic [(Levels+1)*33-1:0] level;  // {valid, data} into each level, and out of the last
  assign sums = en_i && !maximum_i;

  cosyn_fp_add_gated u_low (
      .clk_i(clk_i),
      .en_i (sums),
      .a_i  (row_q[31:0]),
      .b_i  (row_q[63:32]),
      .y_o  (low)
  );

  cosyn_fp_add_gated u_high (
      .clk_i(clk_i),
      .en_i (sums),
      .a_i  (row_q[95:64]),
      .b_i  (row_q[127:96]),
      .y_o  (high)
  );

  cosyn_fp_add_gated u_lane (
      .clk_i(clk_i),
      .en_i (sums),
      .a_i  (low),
      .b_i  (high),
      .y_o  (level[31:0])
  );

  always_ff @(posedge clk_i) begin
    if (rst_i) valid_q <= 8'd0;
    else if (sums) valid_q <= {valid_q[6:0], busy};
  end
  assign level[32] = valid_q[7];

  generate
    for (genvar i = 0; i < Levels; i++) begin : g_level
      cosyn_sfu_pair u_pair (
          .clk_i  (clk_i),
          .rst_i  (rst_i),
          .en_i   (sums),
          .valid_i(level[i*33+32]),
          .data_i (level[i*33+:32]),
          .valid_o(level[(i+1)*33+32]),
          .data_o (level[(i+1)*33+:32])
      );
    end
  endgenerate

  // Maxima.
  logic [31:0] largest_q, larger;
  logic largest_valid_q;

  cosyn_fp_max u_max (
      .a_i(largest_q),
      .b_i(row_q[31:0]),
      .y_o(larger)
  );

  always_ff @(posedge clk_i) begin
    if (rst_i) largest_valid_q <= 1'b0;
    else if (en_i) largest_valid_q <= maximum_i && left_q == (Levels + 1)'(1);
  end

  always_ff @(posedge clk_i) begin
    if (en_i && maximum_i && busy) largest_q <= first_q ? row_q[31:0] : larger;
  end

  assign valid_o  = maximum_i ? largest_valid_q : level[Levels*33+32];
  assign result_o = maximum_i ? largest_q : level[Levels*33+:32];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && en_i && valid_i)
      assert (left_q <= (Levels + 1)'(1)) else $error("%m: a row came before the last one was taken");
  end
`endif
endmodule
