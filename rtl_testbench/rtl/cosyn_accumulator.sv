// SPDX-License-Identifier: Apache-2.0
// INT32 accumulators of one token pair, and the results of the last HoldDepth passes over a tile, which the drain reads
// a line of `Lanes` columns at a time. Adds one (half) step a cycle; a pass's results are readable the cycle after its
// last step. `line_o` comes one cycle after `read_i`.
module cosyn_accumulator #(
    parameter int HoldDepth = 4,
    localparam int HoldBits = $clog2(HoldDepth),
    localparam int Chains = cosyn_pkg::Chains,
    localparam int Bits = 64 * Chains,
    localparam int LineBits = 32 * cosyn_pkg::Lanes,
    localparam int TileLines = cosyn_pkg::TileColumns / cosyn_pkg::Lanes,
    localparam int TileLineBits = TileLines > 1 ? $clog2(TileLines) : 1
) (
    input  logic                    clk_i,
    input  logic                    rst_i,    // for the assertions
    input  logic                    valid_i,
    input  logic                    mv_i,
    input  logic                    half_i,   // MM: the sums belong to columns 2n + half
    input  logic                    first_i,  // first step of the pass
    input  logic                    last_i,   // last step of the pass; MM: with half_i
    input  logic [        Bits-1:0] sums_i,   // per chain low, high
    input  logic [    HoldBits-1:0] slot_i,   // where a pass's results go
    input  logic                    read_i,
    input  logic [    HoldBits-1:0] read_slot_i,
    input  logic                    read_token_i,  // 0: the low sums' token (MV: always 0)
    input  logic [TileLineBits-1:0] read_line_i,
    output logic [    LineBits-1:0] line_o
);
  logic [Bits-1:0] even_q, odd_q;  // MV uses the even ones only
  (* ram_style = "distributed" *) logic [Bits-1:0] token0_q[0:HoldDepth-1];
  (* ram_style = "distributed" *) logic [Bits-1:0] token1_q[0:HoldDepth-1];

  function automatic logic [Bits-1:0] added(input logic first, input logic [Bits-1:0] total, input logic [Bits-1:0] sums);
    for (int i = 0; i < 2 * Chains; i++) added[32*i+:32] = (first ? 32'd0 : total[32*i+:32]) + sums[32*i+:32];
  endfunction

  // Column 2n of even sums beside column 2n + 1 of odd sums, for the low (0) or high (1) field.
  function automatic logic [Bits-1:0] interleaved(input logic field, input logic [Bits-1:0] even,
                                                  input logic [Bits-1:0] odd);
    for (int n = 0; n < Chains; n++) begin
      interleaved[64*n+:32]    = field ? even[64*n+32+:32] : even[64*n+:32];
      interleaved[64*n+32+:32] = field ? odd[64*n+32+:32] : odd[64*n+:32];
    end
  endfunction

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      if (half_i) odd_q <= added(first_i, odd_q, sums_i);
      else even_q <= added(first_i, even_q, sums_i);
      if (last_i) begin
        if (mv_i) token0_q[slot_i] <= added(first_i, even_q, sums_i);
        else begin
          token0_q[slot_i] <= interleaved(1'b0, even_q, added(first_i, odd_q, sums_i));
          token1_q[slot_i] <= interleaved(1'b1, even_q, added(first_i, odd_q, sums_i));
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (read_i) begin
      if (read_token_i) line_o <= token1_q[read_slot_i][int'(read_line_i)*LineBits+:LineBits];
      else line_o <= token0_q[read_slot_i][int'(read_line_i)*LineBits+:LineBits];
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && valid_i) begin
      assert (!(mv_i && half_i)) else $error("%m: MV has no half steps");
      assert (!(last_i && !mv_i && !half_i)) else $error("%m: a pass of MM ends with its second half step");
    end
  end
`else
  logic unused;
  assign unused = rst_i;
`endif
endmodule
