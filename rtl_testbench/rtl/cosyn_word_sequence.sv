// SPDX-License-Identifier: Apache-2.0
// Which words of a tile stream come next: asks the weight ring for every word of every pass and tags it (group scales,
// index or high bits, data), so that reads run ahead of their use without a gap between tiles and passes.
module cosyn_word_sequence (
    input  logic        clk_i,
    input  logic        rst_i,
    input  logic        start_i,
    // shape, steady from the cycle after start_i
    input  logic [ 1:0] bits_i,         // WeightBits code
    input  logic        sparse_i,
    input  logic [11:0] group_steps_i,  // 0: no group scales
    input  logic [15:0] steps_i,
    input  logic [15:0] tiles_i,
    input  logic [ 9:0] passes_i,       // token groups per tile
    // weight ring
    output logic        want_o,
    output logic [ 1:0] tag_o,
    output logic        free_o,
    output logic        rewind_o,
    input  logic        take_i
);
  localparam logic [1:0] TagData = 2'd0, TagAux = 2'd1, TagScale = 2'd2;
  localparam int IntervalShift = $clog2(cosyn_pkg::ScaleGroupsPerWord);
  localparam int IntervalBits = 12 + IntervalShift;

  logic b3, aux, grouped;
  logic [2:0] unit_steps, data_words;
  logic [IntervalBits-1:0] interval;
  logic starting_q, active_q;
  logic [1:0] tag_q, data_q;
  logic [15:0] steps_q, tiles_q;
  logic [IntervalBits-1:0] interval_q;
  logic [9:0] passes_q;
  logic unit_end, pass_end, tile_end;
  logic [1:0] record_tag;

  assign b3       = bits_i == cosyn_pkg::WeightBitsB3;
  assign aux      = sparse_i || b3;
  assign grouped  = group_steps_i != '0;
  assign interval = {group_steps_i, IntervalShift'(0)};

  always_comb begin
    unit_steps = 3'd1;
    data_words = 3'd1;
    case (bits_i)
      cosyn_pkg::WeightBitsB8: begin
        unit_steps = sparse_i ? 3'd2 : 3'd1;
        data_words = sparse_i ? 3'd4 : 3'd2;
      end
      cosyn_pkg::WeightBitsB4: begin
        unit_steps = sparse_i ? 3'd2 : 3'd1;
        data_words = sparse_i ? 3'd2 : 3'd1;
      end
      cosyn_pkg::WeightBitsB3: begin
        unit_steps = 3'd4;
        data_words = 3'd2;
      end
      default: unit_steps = 3'd2;
    endcase
  end

  assign unit_end   = tag_q == TagData && {1'b0, data_q} == data_words - 3'd1;
  assign pass_end   = unit_end && steps_q == {13'd0, unit_steps};
  assign tile_end   = pass_end && passes_q == 10'd1;
  assign record_tag = aux ? TagAux : TagData;

  assign want_o   = active_q;
  assign tag_o    = tag_q;
  assign free_o   = passes_q == 10'd1;
  assign rewind_o = pass_end && passes_q != 10'd1;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      starting_q <= 1'b0;
      active_q   <= 1'b0;
    end else begin
      starting_q <= start_i;
      if (starting_q) active_q <= 1'b1;
      else if (take_i && tile_end && tiles_q == 16'd1) active_q <= 1'b0;
    end

    if (starting_q) begin
      tag_q      <= grouped ? TagScale : record_tag;
      data_q     <= '0;
      steps_q    <= steps_i;
      interval_q <= interval;
      passes_q   <= passes_i;
      tiles_q    <= tiles_i;
    end else if (take_i) begin
      case (tag_q)
        TagScale: tag_q <= record_tag;
        TagAux:   tag_q <= TagData;
        default: begin
          if (unit_end) begin
            data_q     <= '0;
            steps_q    <= pass_end ? steps_i : steps_q - {13'd0, unit_steps};
            if (grouped && (pass_end || interval_q == IntervalBits'(unit_steps))) begin
              tag_q      <= TagScale;
              interval_q <= interval;
            end else begin
              tag_q      <= record_tag;
              interval_q <= interval_q - IntervalBits'(unit_steps);
            end
            if (pass_end) begin
              passes_q <= tile_end ? passes_i : passes_q - 1'b1;
              if (tile_end) tiles_q <= tiles_q - 1'b1;
            end
          end else data_q <= data_q + 1'b1;
        end
      endcase
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      if (take_i) assert (active_q) else $error("%m: a word was taken that nobody wanted");
      if (start_i) assert (!active_q && !starting_q) else $error("%m: started while words are still wanted");
    end
  end
`endif
endmodule
