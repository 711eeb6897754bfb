// SPDX-License-Identifier: Apache-2.0
// Words of a tile stream into steps of INT8 codes, sparse indices and group scales.
// A word a cycle in, a step a cycle out (MV) or half a step (MM: columns 2n, then 2n + 1), so a pass takes
// max(steps, words) or max(2 steps, words) cycles. A word is used from the cycle after it came; operands are registered.
// Data, index (or high-bit) and scale words have a register each. What is still needed when the next word of a kind
// comes is moved away: the second half of an index word to `upper_q`, a group's scales to `scale_q`.
module cosyn_dequantizer #(
    localparam int WordBits = 8 * cosyn_pkg::WordBytes,
    localparam int HalfBits = WordBits / 2,
    localparam int ScaleBits = 8 * cosyn_pkg::TileColumns
) (
    input  logic                 clk_i,
    input  logic                 rst_i,
    input  logic                 start_i,
    // shape, steady from the cycle after start_i
    input  logic                 mm_i,
    input  logic [          1:0] bits_i,
    input  logic                 sparse_i,
    input  logic [         11:0] group_steps_i,
    input  logic [         15:0] steps_i,
    // weight ring
    input  logic                 word_valid_i,
    input  logic [          1:0] word_tag_i,
    input  logic [ WordBits-1:0] word_i,
    output logic                 word_ready_o,
    // what a step needs besides words
    input  logic                 token_valid_i,  // activations of the step are there
    input  logic                 result_free_i,  // somewhere to keep a pass's results
    output logic                 fire_o,         // a (half) step starts: the activations are taken with step_done_o
    output logic                 step_done_o,
    output logic                 pass_done_o,    // with fire_o: the last (half) step of a pass
    output logic                 blocked_o,      // only result_free_i is missing
    // to the array, registered
    output logic                 valid_o,
    output logic                 half_o,
    output logic                 first_o,
    output logic                 last_o,
    output logic [ WordBits-1:0] weight0_o,      // MV: columns 2n; MM: columns 2n + half
    output logic [ WordBits-1:0] weight1_o,      // MV: columns 2n + 1
    output logic [ HalfBits-1:0] index_o,
    output logic [ScaleBits-1:0] scale_o
);
  localparam logic [1:0] TagAux = 2'd1, TagScale = 2'd2;
  localparam int Groups = cosyn_pkg::ScaleGroupsPerWord;
  localparam int GroupBits = $clog2(Groups);
  localparam int QuarterBits = WordBits / 4;
  localparam int EighthBits = WordBits / 8;

  // -- expansion: eight codes at a time, spread to bytes and sign-extended with shifts and masks ------------------------

  function automatic logic [63:0] extended(input logic [63:0] spread, input logic [63:0] sign);
    // sign: one bit per byte, the code's top bit; copied to every bit above it (never beyond the byte)
    logic [63:0] a;
    a = sign << 1 | sign << 2;
    extended = spread | a | (a & 64'h3F3F3F3F3F3F3F3F) << 2;
  endfunction

  function automatic logic [63:0] nibbles(input logic [31:0] packed_codes);
    logic [63:0] x;
    x = {32'd0, packed_codes};
    x = (x | x << 16) & 64'h0000FFFF0000FFFF;
    x = (x | x << 8) & 64'h00FF00FF00FF00FF;
    x = (x | x << 4) & 64'h0F0F0F0F0F0F0F0F;
    nibbles = extended(x, x & 64'h0808080808080808);
  endfunction

  function automatic logic [63:0] crumbs(input logic [15:0] packed_codes);
    logic [63:0] x;
    x = {48'd0, packed_codes};
    x = (x | x << 24) & 64'h000000FF000000FF;
    x = (x | x << 12) & 64'h000F000F000F000F;
    crumbs = (x | x << 6) & 64'h0303030303030303;
  endfunction

  function automatic logic [63:0] two_bits(input logic [15:0] packed_codes);
    logic [63:0] x, a;
    x = crumbs(packed_codes);
    a = extended(x, x & 64'h0202020202020202);
    two_bits = a | (a & 64'h3030303030303030) << 2;
  endfunction

  function automatic logic [63:0] three_bits(input logic [15:0] packed_codes, input logic [7:0] high);
    logic [63:0] x, a;
    x = {56'd0, high};
    x = (x | x << 28) & 64'h0000000F0000000F;
    x = (x | x << 14) & 64'h0003000300030003;
    x = ((x | x << 7) & 64'h0101010101010101) << 2;
    a = extended(x | crumbs(packed_codes), x);
    three_bits = a | (a & 64'h4040404040404040) << 1;
  endfunction

  // The codes of columns 2n + half of the step: `half` picks the part of a step, `sub` the step of a word of two.
  function automatic logic [WordBits-1:0] expanded(input logic [1:0] bits, input logic [WordBits-1:0] word,
                                                   input logic [EighthBits-1:0] high, input logic half,
                                                   input logic sub);
    logic [HalfBits-1:0] four;
    logic [QuarterBits-1:0] two;
    expanded = word;
    four = half ? word[WordBits-1:HalfBits] : word[HalfBits-1:0];
    case ({sub, half})
      2'd0: two = word[0+:QuarterBits];
      2'd1: two = word[QuarterBits+:QuarterBits];
      2'd2: two = word[2*QuarterBits+:QuarterBits];
      default: two = word[3*QuarterBits+:QuarterBits];
    endcase
    case (bits)
      cosyn_pkg::WeightBitsB4:
      for (int i = 0; i < WordBits / 64; i++) expanded[64*i+:64] = nibbles(four[32*i+:32]);
      cosyn_pkg::WeightBitsB3:
      for (int i = 0; i < WordBits / 64; i++) expanded[64*i+:64] = three_bits(two[16*i+:16], high[8*i+:8]);
      cosyn_pkg::WeightBitsB2:
      for (int i = 0; i < WordBits / 64; i++) expanded[64*i+:64] = two_bits(two[16*i+:16]);
      default: ;
    endcase
  endfunction

  // Bits of the current step and half in a half word of 3-bit high bits: [odd step of the pair][half].
  function automatic logic [EighthBits-1:0] high_bits(input logic [HalfBits-1:0] pair, input logic odd,
                                                      input logic half);
    case ({odd, half})
      2'd0: high_bits = pair[0+:EighthBits];
      2'd1: high_bits = pair[EighthBits+:EighthBits];
      2'd2: high_bits = pair[2*EighthBits+:EighthBits];
      default: high_bits = pair[3*EighthBits+:EighthBits];
    endcase
  endfunction

  // -- control ----------------------------------------------------------------------------------------------------------

  logic b8, b3, pairs, aux, grouped;
  logic data_valid_q, aux_valid_q, scale_word_valid_q, scale_valid_q;
  logic [WordBits-1:0] data_q, aux_q, scale_word_q;
  logic [HalfBits-1:0] upper_q;
  logic [ScaleBits-1:0] scale_q;
  logic half_q, sub_q, first_q;
  logic [1:0] position_q;
  logic [15:0] steps_q;
  logic starting_q;

  logic ready, emits, step_done, pass_done, data_done, aux_done, last_step, upper;

  assign b8        = bits_i == cosyn_pkg::WeightBitsB8;
  assign b3        = bits_i == cosyn_pkg::WeightBitsB3;
  assign pairs     = b3 || bits_i == cosyn_pkg::WeightBitsB2;  // two steps share a data word
  assign aux       = b3 || sparse_i;
  assign grouped   = group_steps_i != '0;

  assign upper     = b3 ? position_q[1] : position_q[0];
  assign last_step = steps_q == 16'd1;
  assign step_done = mm_i || b8 ? half_q : 1'b1;
  assign emits     = mm_i || step_done;  // MV needs both words of an 8-bit step
  assign ready     = data_valid_q && (!aux || upper || aux_valid_q) && scale_valid_q && token_valid_i;
  assign pass_done = step_done && last_step;
  assign fire_o      = ready && (!pass_done || result_free_i);
  assign blocked_o   = ready && pass_done && !result_free_i;
  assign step_done_o = fire_o && step_done;
  assign pass_done_o = fire_o && pass_done;
  assign data_done   = fire_o && (b8 || (step_done && (!pairs || sub_q)));
  assign aux_done    = step_done_o && aux && !upper && (!b3 || position_q[0]);

  always_ff @(posedge clk_i) begin
    if (rst_i) starting_q <= 1'b0;
    else starting_q <= start_i;

    if (starting_q) begin
      half_q     <= 1'b0;
      sub_q      <= 1'b0;
      first_q    <= 1'b1;
      position_q <= '0;
      steps_q    <= steps_i;
    end else if (fire_o) begin
      half_q <= (mm_i || b8) && !half_q;
      if (step_done) begin
        sub_q      <= pairs && !sub_q;
        first_q    <= last_step;
        position_q <= last_step ? '0 : position_q + 1'b1;
        steps_q    <= last_step ? steps_i : steps_q - 1'b1;
      end
    end
  end

  // -- data and index words ---------------------------------------------------------------------------------------------

  logic take, take_data, take_aux, take_scale, scale_word_done;

  always_comb begin
    case (word_tag_i)
      TagAux:   word_ready_o = !aux_valid_q || aux_done;
      TagScale: word_ready_o = !scale_word_valid_q || scale_word_done;
      default:  word_ready_o = !data_valid_q || data_done;
    endcase
  end
  assign take       = word_valid_i && word_ready_o;
  assign take_aux   = take && word_tag_i == TagAux;
  assign take_scale = take && word_tag_i == TagScale;
  assign take_data  = take && !take_aux && !take_scale;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      data_valid_q <= 1'b0;
      aux_valid_q  <= 1'b0;
    end else begin
      data_valid_q <= take_data || (data_valid_q && !data_done);
      aux_valid_q  <= take_aux || (aux_valid_q && !aux_done);
    end
    if (take_data) data_q <= word_i;
    if (take_aux) aux_q <= word_i;
    if (aux_done) upper_q <= aux_q[WordBits-1:HalfBits];
  end

  // -- group scales -----------------------------------------------------------------------------------------------------

  logic [GroupBits-1:0] group_q;
  logic [15:0] uncovered_q;       // steps of the pass whose group is not in scale_q yet
  logic [15:0] group_left_q;      // steps left in the group in scale_q
  logic group_done, load_scale, last_group;

  assign group_done      = step_done_o && grouped && (last_step || group_left_q == 16'd1);
  assign last_group      = uncovered_q <= {4'd0, group_steps_i};
  assign load_scale      = grouped && scale_word_valid_q && (!scale_valid_q || group_done);
  assign scale_word_done = load_scale && (last_group || int'(group_q) == Groups - 1);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      scale_word_valid_q <= 1'b0;
      scale_valid_q      <= 1'b0;
    end else begin
      scale_word_valid_q <= take_scale || (scale_word_valid_q && !scale_word_done);
      if (starting_q) scale_valid_q <= !grouped;
      else scale_valid_q <= load_scale || (scale_valid_q && !group_done);
    end
    if (take_scale) scale_word_q <= word_i;

    if (starting_q) begin
      group_q     <= '0;
      uncovered_q <= steps_i;
    end else if (load_scale) begin
      group_q     <= scale_word_done ? '0 : group_q + 1'b1;
      uncovered_q <= last_group ? steps_i : uncovered_q - {4'd0, group_steps_i};
    end
    if (load_scale) group_left_q <= {4'd0, group_steps_i};
    else if (step_done_o) group_left_q <= group_left_q - 1'b1;

    if (starting_q && !grouped) scale_q <= {cosyn_pkg::TileColumns{8'd1}};
    else if (load_scale) scale_q <= scale_word_q[int'(group_q)*ScaleBits+:ScaleBits];
  end

  // -- operands ---------------------------------------------------------------------------------------------------------

  logic [HalfBits-1:0] aux_half;
  assign aux_half = upper ? upper_q : aux_q[HalfBits-1:0];

  always_ff @(posedge clk_i) begin
    if (rst_i) valid_o <= 1'b0;
    else valid_o <= fire_o && emits;
    half_o  <= mm_i && half_q;
    first_o <= first_q;
    last_o  <= pass_done;
    if (fire_o) begin
      if (mm_i) weight0_o <= expanded(bits_i, data_q, high_bits(aux_half, position_q[0], half_q), half_q, sub_q);
      else begin
        if (!(b8 && half_q))
          weight0_o <= expanded(bits_i, data_q, high_bits(aux_half, position_q[0], 1'b0), 1'b0, sub_q);
        if (!b8 || half_q)
          weight1_o <= expanded(bits_i, data_q, high_bits(aux_half, position_q[0], 1'b1), 1'b1, sub_q);
      end
      if (sparse_i) index_o <= aux_half;
      if (grouped || first_q) scale_o <= scale_q;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      if (word_valid_i) assert (word_tag_i != 2'd3) else $error("%m: word of no kind");
      if (take_aux) assert (aux) else $error("%m: an index word in a stream without");
      if (take_scale) assert (grouped) else $error("%m: a scale word in a stream without");
      if (start_i)
        assert (!data_valid_q && !scale_word_valid_q) else $error("%m: words of the last instruction are left");
    end
  end
`endif
endmodule
