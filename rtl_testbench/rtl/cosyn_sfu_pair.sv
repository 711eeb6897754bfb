// SPDX-License-Identifier: Apache-2.0
// One level of a balanced tree over a serial stream: adds neighbours (first and second, third and fourth, ...).
// A pair's sum comes four cycles after its second element. Streams of even length; nothing is held between streams.
module cosyn_sfu_pair (
    input  logic        clk_i,
    input  logic        rst_i,
    input  logic        en_i,
    input  logic        valid_i,
    input  logic [31:0] data_i,
    output logic        valid_o,
    output logic [31:0] data_o
);
  logic second_q;
  logic [31:0] held_q;
  logic [3:0] valid_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      second_q <= 1'b0;
      valid_q  <= 4'd0;
    end else if (en_i) begin
      second_q <= second_q ^ valid_i;
      valid_q  <= {valid_q[2:0], valid_i && second_q};
    end
  end

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i) held_q <= data_i;
  end

  cosyn_fp_add_gated u_add (
      .clk_i(clk_i),
      .en_i (en_i),
      .a_i  (held_q),
      .b_i  (data_i),
      .y_o  (data_o)
  );

  assign valid_o = valid_q[3];
endmodule
