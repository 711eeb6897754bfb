// SPDX-License-Identifier: Apache-2.0
// What KEY, VALUE and SCALE of the store unit write: holds the line that was read last, and gathers the tile of VALUE
// from it, a granule a cycle. The step, word and tile that it shows are those of the cycle.
module cosyn_store_source (
  input  logic                                          clk_i,
  input  logic                                          hold_activation_i,
  input  logic [cosyn_pkg::ActivationLineBytes*8-1:0]   activation_i,
  input  logic                                          hold_vector_i,
  input  logic [cosyn_pkg::LineBytes*8-1:0]             vector_i,
  input  logic                                          gather_i,
  input  logic [15:0]                                   slot_i,      // KEY: step, VALUE: granule of the line
  input  logic [15:0]                                   granule_i,   // of the tile
  input  logic [cosyn_pkg::LaneBits-1:0]                word_i,
  output logic [cosyn_pkg::ChainLength*8-1:0]           step_o,
  output logic [cosyn_pkg::TileColumns*8-1:0]           tile_o,
  output logic [31:0]                                   word_o
);
  localparam int Chain = cosyn_pkg::ChainLength;
  // bytes moved at once from an activation line to the gathered tile: divides chain, tile and line
  localparam int Granule = Chain < cosyn_pkg::Lanes ? Chain : cosyn_pkg::Lanes;
  localparam int GranulesPerTile = cosyn_pkg::TileColumns / Granule;

  logic [cosyn_pkg::ActivationLineBytes*8-1:0] held_q;
  logic [cosyn_pkg::TileColumns*8-1:0]         tile_q;
  logic [cosyn_pkg::LineBytes*8-1:0]           vector_q;

  assign step_o = held_q[32'(slot_i)*Chain*8 +: Chain*8];
  assign tile_o = tile_q;
  assign word_o = vector_q[32'(word_i)*32 +: 32];

  always_ff @(posedge clk_i) begin
    if (hold_activation_i) held_q <= activation_i;
    if (hold_vector_i) vector_q <= vector_i;
    for (int i = 0; i < GranulesPerTile; i++) begin
      if (gather_i && 32'(granule_i) == i) begin
        tile_q[i*Granule*8 +: Granule*8] <= held_q[32'(slot_i)*Granule*8 +: Granule*8];
      end
    end
  end
endmodule
