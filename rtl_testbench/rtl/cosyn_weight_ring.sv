// SPDX-License-Identifier: Apache-2.0
// Two rings of weight words in one memory (0 weights, 1 keys and values). LD writes stripes, RingReads of them make a
// word; the matrix engine reads a word a cycle. A read with `free_i` gives its word back; without, the word stays, and
// `rewind_i` with the last read of a pass goes back to the first word that was not freed. Words come two cycles after
// they are taken, with their tag, and wait at the output.
module cosyn_weight_ring #(
    parameter int TagBits = 2,
    localparam int StripeBits = 8 * cosyn_pkg::StripeBytes,
    localparam int WordBits = 8 * cosyn_pkg::WordBytes
) (
    input  logic                  clk_i,
    input  logic                  rst_i,
    // LD
    input  logic                  write_valid_i,
    output logic [           1:0] write_ready_o,
    input  logic                  write_ring_i,
    input  logic [StripeBits-1:0] write_data_i,
    // word sequence
    input  logic                  ring_i,
    input  logic                  want_i,
    input  logic [   TagBits-1:0] tag_i,
    input  logic                  free_i,
    input  logic                  rewind_i,
    output logic                  take_o,
    output logic                  empty_o,    // a word is wanted that LD has not brought yet
    // dequantizer
    output logic                  word_valid_o,
    output logic [   TagBits-1:0] word_tag_o,
    output logic [  WordBits-1:0] word_o,
    input  logic                  word_ready_i
);
  localparam int Depth = cosyn_pkg::WeightRingWords + cosyn_pkg::KvRingWords;
  localparam int AB = cosyn_pkg::RingAddressBits;
  localparam int CB = AB + 1;
  localparam int Parts = cosyn_pkg::RingReads;
  localparam int PartBits = Parts > 1 ? $clog2(Parts) : 1;
  localparam logic [AB-1:0] Split = AB'(cosyn_pkg::WeightRingWords);
  localparam logic [AB-1:0] Last0 = AB'(cosyn_pkg::WeightRingWords - 1);
  localparam logic [AB-1:0] Last1 = AB'(Depth - 1);

  function automatic logic [AB-1:0] after(input logic ring, input logic [AB-1:0] at);
    if (ring) after = at == Last1 ? Split : at + 1'b1;
    else after = at == Last0 ? '0 : at + 1'b1;
  endfunction

  logic [AB-1:0] write0_q, write1_q, read0_q, read1_q, mark0_q, mark1_q;
  logic [PartBits-1:0] part0_q, part1_q, part;
  logic [CB-1:0] total0_q, total1_q, ahead0_q, ahead1_q;  // words not freed; of them read in this pass
  logic write, whole, take, valid1_q, valid2_q, move1, move2;
  logic [TagBits-1:0] tag1_q, tag2_q;
  logic [AB-1:0] read_at, next_read;

  assign write_ready_o = {total1_q != CB'(cosyn_pkg::KvRingWords), total0_q != CB'(cosyn_pkg::WeightRingWords)};
  assign write         = write_valid_i && write_ready_o[write_ring_i];
  assign part          = write_ring_i ? part1_q : part0_q;
  assign whole         = write && int'(part) == Parts - 1;

  assign move2        = !valid2_q || word_ready_i;
  assign move1        = !valid1_q || move2;
  assign empty_o      = want_i && (ring_i ? total1_q == ahead1_q : total0_q == ahead0_q);
  assign take         = want_i && !empty_o && move1;
  assign take_o       = take;
  assign read_at      = ring_i ? read1_q : read0_q;
  assign next_read    = after(ring_i, read_at);
  assign word_valid_o = valid2_q;
  assign word_tag_o   = tag2_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write0_q <= '0;
      write1_q <= Split;
      part0_q  <= '0;
      part1_q  <= '0;
    end else if (write) begin
      if (write_ring_i) begin
        part1_q <= whole ? '0 : part1_q + 1'b1;
        if (whole) write1_q <= after(1'b1, write1_q);
      end else begin
        part0_q <= whole ? '0 : part0_q + 1'b1;
        if (whole) write0_q <= after(1'b0, write0_q);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      read0_q  <= '0;
      mark0_q  <= '0;
      ahead0_q <= '0;
      total0_q <= '0;
    end else begin
      total0_q <= total0_q + CB'(whole && !write_ring_i) - CB'(take && free_i && !ring_i);
      if (take && !ring_i) begin
        read0_q <= rewind_i ? mark0_q : next_read;
        if (free_i) mark0_q <= next_read;
        ahead0_q <= rewind_i || free_i ? '0 : ahead0_q + 1'b1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      read1_q  <= Split;
      mark1_q  <= Split;
      ahead1_q <= '0;
      total1_q <= '0;
    end else begin
      total1_q <= total1_q + CB'(whole && write_ring_i) - CB'(take && free_i && ring_i);
      if (take && ring_i) begin
        read1_q <= rewind_i ? mark1_q : next_read;
        if (free_i) mark1_q <= next_read;
        ahead1_q <= rewind_i || free_i ? '0 : ahead1_q + 1'b1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid1_q <= 1'b0;
      valid2_q <= 1'b0;
    end else begin
      if (move1) valid1_q <= take;
      if (move2) valid2_q <= valid1_q;
    end
    if (take) tag1_q <= tag_i;
    if (move2 && valid1_q) tag2_q <= tag1_q;
  end

  for (genvar p = 0; p < Parts; p++) begin : g_part
    logic here;
    assign here = write && int'(part) == p;
    cosyn_ram_1r1w #(
        .Width(StripeBits),
        .Depth(Depth),
        .Ultra(Depth >= 2048)
    ) stripes (
        .clk_i,
        .we_i(here),
        .waddr_i(write_ring_i ? write1_q : write0_q),
        .wdata_i(write_data_i),
        .re_i(take),
        .raddr_i(read_at),
        .ce_i(move2 && valid1_q),
        .rdata_o(word_o[p*StripeBits+:StripeBits])
    );
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert (total0_q <= CB'(cosyn_pkg::WeightRingWords)) else $error("%m: weight ring over its depth");
      assert (total1_q <= CB'(cosyn_pkg::KvRingWords)) else $error("%m: KV ring over its depth");
      assert (ahead0_q <= total0_q && ahead1_q <= total1_q) else $error("%m: read past the last word");
      if (take && free_i)
        assert ((ring_i ? ahead1_q : ahead0_q) == '0) else $error("%m: a word is freed behind one that is held");
      assert (!(take && free_i && rewind_i)) else $error("%m: freed words cannot be read again");
    end
  end
`endif
endmodule
