// SPDX-License-Identifier: Apache-2.0
// One of 16 bytes by a 4-bit index, combinational: four look-up tables a bit, joined by the multiplexers behind them in
// a slice. Synthesis instantiates those, as what tools find for the plain expression takes half as much again.
module cosyn_mux16 (
    input  logic [  3:0] index_i,
    input  logic [127:0] bytes_i,
    output logic [  7:0] byte_o
);
`ifdef SYNTHESIS
  // Byte g is one of bytes 4 g to 4 g + 3.
  logic [31:0] fours;
  for (genvar g = 0; g < 4; g++) begin : g_four
    assign fours[8*g+:8] = bytes_i[32*g+{index_i[1:0], 3'b000}+:8];
  end
  for (genvar i = 0; i < 8; i++) begin : g_bit
    logic low, high;
    MUXF7 mux_low (.O(low), .I0(fours[i]), .I1(fours[8+i]), .S(index_i[2]));
    MUXF7 mux_high (.O(high), .I0(fours[16+i]), .I1(fours[24+i]), .S(index_i[2]));
    MUXF8 mux (.O(byte_o[i]), .I0(low), .I1(high), .S(index_i[3]));
  end
`else
  assign byte_o = bytes_i[{index_i, 3'b000}+:8];
`endif
endmodule
