// SPDX-License-Identifier: Apache-2.0
// The xor of all 32-bit words of a vector: one step of a digest or checksum. Combinational.
module cosyn_fold #(
  parameter int Words = 8
) (
  input  logic [Words*32-1:0] data_i,
  output logic [31:0]         fold_o
);
  always_comb begin
    fold_o = '0;
    for (int i = 0; i < Words; i++) fold_o = fold_o ^ data_i[i*32 +: 32];
  end
endmodule
