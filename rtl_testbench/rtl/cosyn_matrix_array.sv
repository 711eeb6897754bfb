// SPDX-License-Identifier: Apache-2.0
// The chains of a core with their sparse multiplexers, reduction nodes, group scales and accumulators.
// A (half) step a cycle; it is in the accumulators 16 cycles after `valid_i` (1 multiplexer and operands, 11 segment,
// 1 reduction, 2 group scale, 1 sum), and `captured_o` tells with the results of a pass in place. Replica r of the
// chains serves tokens 2r and 2r + 1 of the group in MM; MV uses replica 0 alone. Nothing moves while nothing is in flight.
module cosyn_matrix_array #(
`ifdef SYNTHESIS
    parameter bit Structural = 1'b1,
`else
    parameter bit Structural = 1'b0,
`endif
    parameter int HoldDepth = 4,
    localparam int HoldBits = $clog2(HoldDepth),
    localparam int WordBits = 8 * cosyn_pkg::WordBytes,
    localparam int WindowBits = 8 * cosyn_pkg::ActivationLineBytes,
    localparam int Tokens = cosyn_pkg::TokenGroup,
    localparam int TokenBits = $clog2(Tokens),
    localparam int LineBits = 32 * cosyn_pkg::Lanes,
    localparam int TileLines = cosyn_pkg::TileColumns / cosyn_pkg::Lanes,
    localparam int TileLineBits = TileLines > 1 ? $clog2(TileLines) : 1
) (
    input  logic                                clk_i,
    input  logic                                rst_i,
    input  logic                                mv_i,
    input  logic                                sparse_i,
    // a (half) step
    input  logic                                valid_i,
    input  logic                                half_i,
    input  logic                                first_i,
    input  logic                                last_i,
    input  logic [                WordBits-1:0] weight0_i,
    input  logic [                WordBits-1:0] weight1_i,
    input  logic [              WordBits/2-1:0] index_i,
    input  logic [8*cosyn_pkg::TileColumns-1:0] scale_i,
    input  logic [       Tokens*WindowBits-1:0] window_i,
    // results
    output logic                                captured_o,
    input  logic                                read_i,
    input  logic [                HoldBits-1:0] read_slot_i,
    input  logic [               TokenBits-1:0] read_token_i,
    input  logic [            TileLineBits-1:0] read_line_i,
    output logic [                LineBits-1:0] line_o  // one cycle after read_i
);
  localparam int K = cosyn_pkg::ChainLength;
  localparam int Chains = cosyn_pkg::Chains;
  localparam int Replicas = cosyn_pkg::TokenReplicas;
  localparam int ScaleStage = 13;  // cycles from valid_i to the group scales
  localparam int SumStage = 15;  // to the accumulators

  logic [SumStage:1] valid_q, half_q, first_q, last_q;
  logic [3:0] slot_q;
  logic en;
  logic [8*cosyn_pkg::TileColumns-1:0] scale;

  assign en         = valid_i || |valid_q;
  assign captured_o = valid_q[SumStage] && last_q[SumStage];

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_q <= '0;
      slot_q  <= '0;
    end else begin
      valid_q <= {valid_q[SumStage-1:1], valid_i};
      if (en) slot_q <= slot_q + 1'b1;
    end
    half_q  <= {half_q[SumStage-1:1], half_i};
    first_q <= {first_q[SumStage-1:1], first_i};
    last_q  <= {last_q[SumStage-1:1], last_i};
  end

  cosyn_delay #(
      .Width(8 * cosyn_pkg::TileColumns),
      .Delay(ScaleStage)
  ) scale_delay (
      .clk_i,
      .rst_i,
      .en_i(en),
      .data_i(scale_i),
      .data_o(scale)
  );

  // Where the next pass's results go.
  logic [HoldBits-1:0] hold_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) hold_q <= '0;
    else if (captured_o) hold_q <= hold_q + 1'b1;
  end

  // A dense step is a sparse one with constant indices. Apart from the multiplexers, so that these stay plain ones.
  logic [WordBits/2-1:0] index;
  generate
    if (Structural && cosyn_pkg::HasSparsity != 0) begin : g_index
      localparam int Group = cosyn_pkg::SparsityBlock * K / cosyn_pkg::ActivationLineBytes;
      for (genvar i = 0; i < Chains * K; i++) begin : g_dsp
        assign index[4*i+:4] = sparse_i ? index_i[4*i+:4] : 4'((i % K) % Group);
      end
    end else begin : g_given
      assign index = index_i;
    end
  endgenerate

  logic [Replicas*LineBits-1:0] lines;

  for (genvar r = 0; r < Replicas; r++) begin : g_replica
    logic used, works, reads, sums_valid;
    logic [64*Chains-1:0] sums, scaled;

    assign used       = r == 0 || !mv_i;
    assign works      = valid_i && used;
    assign sums_valid = valid_q[SumStage] && used;
    assign reads      = read_i && int'(read_token_i) / 2 == r;

    if (Structural) begin : g_structural
      for (genvar n = 0; n < Chains; n++) begin : g_chain
        logic [8*K-1:0] token0, token1;

        if (cosyn_pkg::HasSparsity != 0) begin : g_mux
          cosyn_sparse_mux mux0 (
              .index_i(index[4*K*n+:4*K]),
              .window_i(window_i[2*r*WindowBits+:WindowBits]),
              .token_o(token0)
          );
          cosyn_sparse_mux mux1 (
              .index_i(index[4*K*n+:4*K]),
              .window_i(window_i[(2*r+1)*WindowBits+:WindowBits]),
              .token_o(token1)
          );
        end else begin : g_dense
          assign token0 = window_i[2*r*WindowBits+:8*K];
          assign token1 = window_i[(2*r+1)*WindowBits+:8*K];
        end

        cosyn_dsp_chain #(
            .VectorMode(r == 0)
        ) chain (
            .clk_i,
            .en_i(en),
            .valid_i(works),
            .mv_i,
            .weight0_i(weight0_i[8*K*n+:8*K]),
            .weight1_i(weight1_i[8*K*n+:8*K]),
            .token0_i(token0),
            .token1_i(token1),
            .low_o(sums[64*n+:32]),
            .high_o(sums[64*n+32+:32])
        );
      end
    end else begin : g_sums
      cosyn_chain_sums chains (
          .clk_i,
          .en_i(en),
          .valid_i(works),
          .mv_i,
          .sparse_i(sparse_i && cosyn_pkg::HasSparsity != 0),
          .slot_i(slot_q),
          .weight0_i,
          .weight1_i,
          .index_i(index),
          .window_i(window_i[2*r*WindowBits+:2*WindowBits]),
          .sums_o(sums)
      );
    end

    cosyn_group_scale #(
        .Structural(Structural)
    ) group_scale (
        .clk_i,
        .en_i(en && used),
        .mv_i,
        .half_i(half_q[ScaleStage]),
        .scale_i(scale),
        .sums_i(sums),
        .sums_o(scaled)
    );

    cosyn_accumulator #(
        .HoldDepth(HoldDepth)
    ) accumulator (
        .clk_i,
        .rst_i,
        .valid_i(sums_valid),
        .mv_i,
        .half_i(half_q[SumStage]),
        .first_i(first_q[SumStage]),
        .last_i(last_q[SumStage]),
        .sums_i(scaled),
        .slot_i(hold_q),
        .read_i(reads),
        .read_slot_i,
        .read_token_i(read_token_i[0]),
        .read_line_i,
        .line_o(lines[r*LineBits+:LineBits])
    );
  end

  generate
    if (Replicas == 1) begin : g_line
      assign line_o = lines;
    end else begin : g_lines
      logic [TokenBits-2:0] replica_q;
      always_ff @(posedge clk_i) if (read_i) replica_q <= read_token_i[TokenBits-1:1];
      assign line_o = lines[int'(replica_q)*LineBits+:LineBits];
    end
  endgenerate
endmodule
