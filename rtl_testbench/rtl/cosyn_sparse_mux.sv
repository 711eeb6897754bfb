// SPDX-License-Identifier: Apache-2.0
// In front of the DSPs of a chain: DSP k takes one of the 16 activations of its block by a 4-bit index, for one token.
// Dense steps take activation k: the index that they need is cosyn_matrix_array's, once for all tokens. Combinational.
// The window's bytes are ordered for it (cosyn_activation_buffer): with G = the least N of the configuration, DSP k looks
// at group k / G; candidate i of group g is byte g G + i for i < G, behind them byte ChainLength + g (16 - G) + i - G.
// So a dense step's activations are the first ChainLength bytes.
module cosyn_sparse_mux #(
    localparam int K = cosyn_pkg::ChainLength,
    localparam int WindowBits = 8 * cosyn_pkg::ActivationLineBytes
) (
    input  logic [       4*K-1:0] index_i,
    input  logic [WindowBits-1:0] window_i,
    output logic [       8*K-1:0] token_o
);
  localparam int Group = cosyn_pkg::SparsityBlock * K / cosyn_pkg::ActivationLineBytes;
  localparam int Groups = K / Group;

  // The 16 candidates of every group.
  function automatic logic [128*Groups-1:0] candidates(input logic [WindowBits-1:0] window);
    for (int g = 0; g < Groups; g++) begin
      candidates[128*g+:8*Group] = window[8*g*Group+:8*Group];
      candidates[128*g+8*Group+:8*(16-Group)] = window[8*(K+g*(16-Group))+:8*(16-Group)];
    end
  endfunction

  logic [128*Groups-1:0] all;
  assign all = candidates(window_i);

  for (genvar k = 0; k < K; k++) begin : g_dsp
    cosyn_mux16 mux (
        .index_i(index_i[4*k+:4]),
        .bytes_i(all[128*(k/Group)+:128]),
        .byte_o(token_o[8*k+:8])
    );
  end
endmodule
