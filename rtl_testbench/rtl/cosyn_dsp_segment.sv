// SPDX-License-Identifier: Apache-2.0
// Length (at most 8) DSPs in cascade: two dot products, low = sum(low[k] common[k]) and high = sum(high[k] common[k]),
// in one P register 18 bits apart. Latency 11 cycles with Length 8 (Length + 3), one pair of dot products a cycle.
// DSP k gets its operands k cycles late (skew, SRLs). Eight products of at most 127 x 128 stay below 2^17, so the low
// field never overflows; a negative low field borrows one from the high field, which the unpacking gives back.
module cosyn_dsp_segment #(
    parameter int Length = 8
) (
    input  logic                clk_i,
    input  logic                en_i,
    input  logic [Length*8-1:0] high_i,
    input  logic [Length*8-1:0] low_i,
    input  logic [Length*8-1:0] common_i,
    output logic [        17:0] high_o,
    output logic [        17:0] low_o
);
  logic [48*(Length+1)-1:0] cascade;
  logic [47:0] last;

  assign cascade[47:0] = '0;
  for (genvar k = 0; k < Length; k++) begin : g_dsp
    logic [23:0] operand;
    logic [47:0] p;  // the last one counts

    if (k == 0) begin : g_direct
      assign operand = {high_i[7:0], low_i[7:0], common_i[7:0]};
    end else begin : g_skew
      logic [24*k-1:0] skew_q;
      if (k == 1) begin : g_one
        always_ff @(posedge clk_i) if (en_i) skew_q <= {high_i[8*k+:8], low_i[8*k+:8], common_i[8*k+:8]};
      end else begin : g_more
        always_ff @(posedge clk_i)
          if (en_i) skew_q <= {skew_q[24*(k-1)-1:0], high_i[8*k+:8], low_i[8*k+:8], common_i[8*k+:8]};
      end
      assign operand = skew_q[24*(k-1)+:24];
    end
    cosyn_dsp48_pair #(
        .First(k == 0)
    ) pair (
        .clk_i,
        .en_i,
        .high_i(operand[23:16]),
        .low_i(operand[15:8]),
        .common_i(operand[7:0]),
        .pcin_i(cascade[48*k+:48]),
        .pcout_o(cascade[48*(k+1)+:48]),
        .p_o(p)
    );
    if (k == Length - 1) begin : g_last
      assign last = p;
    end else begin : g_inner
      logic unused;
      assign unused = ^p;
    end
  end
  assign low_o  = last[17:0];
  assign high_o = last[35:18] + 18'(last[17]);

  logic unused;
  assign unused = ^{last[47:36], cascade[48*Length+:48]};
endmodule
