// SPDX-License-Identifier: Apache-2.0
// For simulation: what the sparse multiplexers and chains of one token pair deliver, computed at once and given out with
// their latency of 13 cycles; `slot_i` (a counter that advances with en_i, modulo 16) addresses a circular delay.
// Loops instead of an instance per DSP keep simulations of large arrays fast and small; the tests of the matrix engine
// run with both forms.
module cosyn_chain_sums #(
    localparam int K = cosyn_pkg::ChainLength,
    localparam int Chains = cosyn_pkg::Chains,
    localparam int WordBits = 8 * cosyn_pkg::WordBytes,
    localparam int WindowBits = 8 * cosyn_pkg::ActivationLineBytes
) (
    input  logic                    clk_i,
    input  logic                    en_i,
    input  logic                    valid_i,
    input  logic                    mv_i,
    input  logic                    sparse_i,
    input  logic [             3:0] slot_i,
    input  logic [    WordBits-1:0] weight0_i,
    input  logic [    WordBits-1:0] weight1_i,
    input  logic [  WordBits/2-1:0] index_i,
    input  logic [2*WindowBits-1:0] window_i,  // two tokens
    output logic [   64*Chains-1:0] sums_o     // per chain low, high
);
  localparam int Parts = K / 8;
  localparam int Group = cosyn_pkg::SparsityBlock * K / cosyn_pkg::ActivationLineBytes;

  // The activations of eight DSPs, by their indices: byte order of the window as in cosyn_sparse_mux.
  function automatic logic [63:0] selected(input logic [WindowBits-1:0] window, input logic [31:0] index,
                                           input int part);
    int group, candidate;
    selected = '0;
    for (int k = 0; k < 8; k++) begin
      group = (8 * part + k) / Group;
      candidate = int'(index[4*k+:4]);
      candidate = candidate < Group ? group * Group + candidate : K + group * (16 - Group) + candidate - Group;
      selected[8*k+:8] = window[8*candidate+:8];
    end
  endfunction

  function automatic int dot(input logic [63:0] a, input logic [63:0] b);
    dot = 0;
    for (int k = 0; k < 8; k++) dot = dot + 32'($signed(a[8*k+:8])) * 32'($signed(b[8*k+:8]));
  endfunction

  function automatic logic [64*Chains-1:0] sums(
      input logic mv, input logic sparse, input logic [WordBits-1:0] weight0, input logic [WordBits-1:0] weight1,
      input logic [WordBits/2-1:0] index, input logic [2*WindowBits-1:0] window);
    logic [63:0] w0, w1, t0, t1;
    logic [31:0] low, high;
    /* verilator unroll_disable */
    for (int n = 0; n < Chains; n++) begin
      low  = '0;
      high = '0;
      for (int s = 0; s < Parts; s++) begin
        w0 = weight0[64*(Parts*n+s)+:64];
        w1 = mv ? weight1[64*(Parts*n+s)+:64] : w0;
        t0 = sparse ? selected(window[WindowBits-1:0], index[32*(Parts*n+s)+:32], s) : window[64*s+:64];
        t1 = mv ? t0 : sparse ? selected(window[2*WindowBits-1:WindowBits], index[32*(Parts*n+s)+:32], s)
                     : window[WindowBits+64*s+:64];
        low  = low + dot(w0, t0);
        high = high + dot(w1, t1);
      end
      sums[64*n+:64] = {high, low};
    end
  endfunction

  logic [64*Chains-1:0] slots_q[0:15];
  logic [3:0] due;  // a variable: Icarus does not wrap an index expression

  assign due = slot_i + 4'd4;  // 12 slots ago

  always_ff @(posedge clk_i) begin
    if (valid_i) slots_q[slot_i] <= sums(mv_i, sparse_i, weight0_i, weight1_i, index_i, window_i);
    if (en_i) sums_o <= slots_q[due];
  end
endmodule
