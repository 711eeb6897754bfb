// SPDX-License-Identifier: Apache-2.0
// The RAM template: one write port with an enable per WriteBits bits, one read port with an output register.
// Data are there two cycles after `re_i` (address register stage, output stage); `ce_i` moves the output stage, so a
// pipeline may stall it: tie it to `re_i` delayed by a cycle, or to 1, for plain reads. A read in the cycle of a write
// to the same address gives the old word. Ultra asks for UltraRAM, otherwise block RAM.
module cosyn_ram_1r1w #(
    parameter int Width     = 32,
    parameter int Depth     = 64,
    parameter int WriteBits = Width,  // granularity of write enables; divides Width
    parameter bit Ultra     = 1'b0,
    localparam int AddressBits = Depth > 1 ? $clog2(Depth) : 1,
    localparam int Enables     = Width / WriteBits
) (
    input  logic                   clk_i,
    input  logic [    Enables-1:0] we_i,
    input  logic [AddressBits-1:0] waddr_i,
    input  logic [      Width-1:0] wdata_i,
    input  logic                   re_i,
    input  logic [AddressBits-1:0] raddr_i,
    input  logic                   ce_i,
    output logic [      Width-1:0] rdata_o
);
  logic [Width-1:0] read_q;

  generate
    if (Ultra) begin : g_ultra
      (* ram_style = "ultra" *) logic [Width-1:0] mem_q[0:Depth-1];

      if (Enables == 1) begin : g_word
        always_ff @(posedge clk_i) if (we_i[0]) mem_q[waddr_i] <= wdata_i;
      end else begin : g_parts
        always_ff @(posedge clk_i) begin
          for (int i = 0; i < Enables; i++) begin
            if (we_i[i]) mem_q[waddr_i][i*WriteBits+:WriteBits] <= wdata_i[i*WriteBits+:WriteBits];
          end
        end
      end
      always_ff @(posedge clk_i) if (re_i) read_q <= mem_q[raddr_i];
    end else begin : g_block
      (* ram_style = "block" *) logic [Width-1:0] mem_q[0:Depth-1];

      if (Enables == 1) begin : g_word
        always_ff @(posedge clk_i) if (we_i[0]) mem_q[waddr_i] <= wdata_i;
      end else begin : g_parts
        always_ff @(posedge clk_i) begin
          for (int i = 0; i < Enables; i++) begin
            if (we_i[i]) mem_q[waddr_i][i*WriteBits+:WriteBits] <= wdata_i[i*WriteBits+:WriteBits];
          end
        end
      end
      always_ff @(posedge clk_i) if (re_i) read_q <= mem_q[raddr_i];
    end
  endgenerate

  always_ff @(posedge clk_i) if (ce_i) rdata_o <= read_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (|we_i) assert (int'(waddr_i) < Depth) else $error("%m: write address %0d of %0d", waddr_i, Depth);
    if (re_i) assert (int'(raddr_i) < Depth) else $error("%m: read address %0d of %0d", raddr_i, Depth);
  end
`endif
endmodule
