// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a stripe write of the store unit go: stripe, data, strobes, and whether its burst ends with it.
// Combinational. Data is repeated over the stripe where that is free, and strobes select: digests count only what they
// select.
module cosyn_store_beat (
  input  logic [1:0]                            mode_i,
  input  logic [15:0]                           column_i,      // KEY: column in the tile; VALUE: lane; SCALE: word
  input  logic [31:0]                           tile_i,        // KEY: first stripe of the step; VALUE: of the tile
  input  logic [15:0]                           index_i,       // VALUE: stripe of the tile
  input  logic [31:0]                           address_i,     // SCALE: stripe
  // what is written: LINES a stripe, KEY a step, VALUE a tile, SCALE a word
  input  logic [31:0]                           lines_stripe_i,
  input  logic                                  lines_row_end_i,
  input  logic [cosyn_pkg::StripeBytes*8-1:0]   lines_i,
  input  logic [cosyn_pkg::ChainLength*8-1:0]   step_i,
  input  logic [cosyn_pkg::TileColumns*8-1:0]   gathered_i,
  input  logic [31:0]                           word_i,
  output logic [31:0]                           stripe_o,
  output logic                                  last_o,
  output logic [cosyn_pkg::StripeBytes*8-1:0]   data_o,
  output logic [cosyn_pkg::StripeBytes-1:0]     strobe_o
);
  localparam int Stripe = cosyn_pkg::StripeBytes;
  localparam int Chain = cosyn_pkg::ChainLength;
  localparam int ChainShift = $clog2(Chain);
  localparam int ChainsPerStripe = Stripe / Chain;
  localparam int StripesPerStep = 2 * cosyn_pkg::RingReads;
  localparam int WordsPerStripe = Stripe / 4;

  // KEY: column c sits in word c % 2 of the step, at chain c / 2
  logic [15:0] chain, chain_in_stripe;
  logic [31:0] chain_stripe, key_stripe;
  assign chain = column_i >> 1;
  always_comb begin
    chain_in_stripe = chain;
    chain_stripe    = '0;
    for (int i = 1; i < cosyn_pkg::RingReads; i++) begin
      if (32'(chain) >= 32'(i) * ChainsPerStripe) begin
        chain_in_stripe = 16'(32'(chain) - 32'(i) * ChainsPerStripe);
        chain_stripe    = 32'(i);
      end
    end
  end
  assign key_stripe = tile_i + (column_i[0] ? cosyn_pkg::RingReads : 32'd0) + chain_stripe;

  // VALUE: stripe index_i of the tile holds columns 2 n + j for a range of chains n
  logic [ChainsPerStripe*8-1:0] value_bytes;
  logic [Stripe*8-1:0]          value_data;
  logic [Chain-1:0]             value_strobe;
  for (genvar n = 0; n < ChainsPerStripe; n++) begin : gen_value
    assign value_data[n*Chain*8 +: Chain*8] = {Chain{value_bytes[n*8 +: 8]}};
  end
  assign value_strobe = Chain'(1) << column_i[ChainShift-1:0];
  always_comb begin
    value_bytes = '0;
    for (int j = 0; j < 2; j++) begin
      for (int q = 0; q < cosyn_pkg::RingReads; q++) begin
        for (int n = 0; n < ChainsPerStripe; n++) begin
          if (32'(index_i) == 32'(j*cosyn_pkg::RingReads + q)) begin
            value_bytes[n*8 +: 8] = gathered_i[(2*(q*ChainsPerStripe + n) + j)*8 +: 8];
          end
        end
      end
    end
  end

  // a burst ends where the next would be due
  logic burst_end;
  assign burst_end = (stripe_o & (cosyn_pkg::BurstBeats - 1)) == cosyn_pkg::BurstBeats - 1;

  always_comb begin
    case (mode_i)
      cosyn_pkg::StoreModeLines: stripe_o = lines_stripe_i;
      cosyn_pkg::StoreModeKey: stripe_o = key_stripe;
      cosyn_pkg::StoreModeValue: stripe_o = tile_i + 32'(index_i);
      default: stripe_o = address_i;
    endcase
  end

  always_comb begin
    last_o   = 1'b1;
    strobe_o = '0;
    case (mode_i)
      cosyn_pkg::StoreModeLines: begin
        last_o   = lines_row_end_i || burst_end;
        data_o   = lines_i;
        strobe_o = '1;
      end
      cosyn_pkg::StoreModeKey: begin
        data_o = {ChainsPerStripe{step_i}};
        for (int n = 0; n < ChainsPerStripe; n++) begin
          if (16'(n) == chain_in_stripe) strobe_o[n*Chain +: Chain] = '1;
        end
      end
      cosyn_pkg::StoreModeValue: begin
        last_o   = 32'(index_i) == StripesPerStep - 1 || burst_end;
        data_o   = value_data;
        strobe_o = {ChainsPerStripe{value_strobe}};
      end
      default: begin
        data_o = {WordsPerStripe{word_i}};
        for (int w = 0; w < WordsPerStripe; w++) if (16'(w) == column_i) strobe_o[w*4 +: 4] = '1;
      end
    endcase
  end
endmodule
