// SPDX-License-Identifier: Apache-2.0
// ST: vector lines, keys, values or scales become stripes with byte strobes, written by all channels in lockstep. The
// next instruction begins when all stripes of the one before are with the channels; each retires, in order, when every
// write of it has its response. LINES: a vector line a cycle; KEY: a stripe a cycle; VALUE: the bytes of a tile are
// gathered a granule a cycle, then a stripe a cycle; see store/README.md.
module cosyn_store #(
  parameter int InFlight = 16   // instructions between accept and retirement
) (
  input  logic                                          clk_i,
  input  logic                                          rst_i,
  input  logic                                          halt_i,
  input  logic [cosyn_pkg::Registers*32-1:0]            registers_i,
  // instructions
  input  logic                                          st_valid_i,
  output logic                                          st_ready_o,
  input  logic [cosyn_pkg::InstructionBits-1:0]         st_inst_i,
  output logic                                          st_done_o,
  output logic [31:0]                                   st_digest_o,
  // vector buffer read: data two cycles after the grant
  output logic                                          vr_req_o,
  output logic [cosyn_pkg::VectorAddressBits-1:0]       vr_addr_o,
  input  logic                                          vr_gnt_i,
  input  logic                                          vr_valid_i,
  input  logic [cosyn_pkg::LineBytes*8-1:0]             vr_data_i,
  // activation buffer read, through the matrix engine
  output logic                                          act_req_o,
  output logic [7:0]                                    act_bank_o,
  output logic [cosyn_pkg::ActivationAddressBits-1:0]   act_addr_o,
  input  logic                                          act_gnt_i,
  input  logic                                          act_valid_i,
  input  logic [cosyn_pkg::ActivationLineBytes*8-1:0]   act_data_i,
  // AXI4 write channels, index = channel
  output logic [cosyn_pkg::ChannelsPerCore*40-1:0]      awaddr_o,
  output logic [cosyn_pkg::ChannelsPerCore*8-1:0]       awlen_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         awvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]         awready_i,
  output logic [cosyn_pkg::StripeBytes*8-1:0]           wdata_o,
  output logic [cosyn_pkg::StripeBytes-1:0]             wstrb_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         wlast_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         wvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]         wready_i,
  input  logic [cosyn_pkg::ChannelsPerCore*2-1:0]       bresp_i,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]         bvalid_i,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         bready_o,
  // state
  output logic                                          idle_o,         // no write is open on the bus
  output logic                                          error_o,
  output logic [7:0]                                    error_code_o,
  output logic [31:0]                                   error_detail_o
);
  localparam int Channels = cosyn_pkg::ChannelsPerCore;
  localparam int Stripe = cosyn_pkg::StripeBytes;
  localparam int LineBits = cosyn_pkg::LineBytes * 8;
  localparam int Chain = cosyn_pkg::ChainLength;
  localparam int ChainShift = $clog2(Chain);
  localparam int GroupShift = $clog2(cosyn_pkg::TokenGroup);
  localparam int LaneShift = $clog2(cosyn_pkg::Lanes);
  localparam int ByteShift = $clog2(cosyn_pkg::ChannelBytes);
  localparam int ChainsPerStripe = Stripe / Chain;
  localparam int StripesPerStep = 2 * cosyn_pkg::RingReads;
  localparam int StepShift = $clog2(StripesPerStep);
  localparam int WordsPerStripe = Stripe / 4;
  localparam int StepsPerLine = cosyn_pkg::ActivationLineBytes / Chain;
  // bytes moved at once from an activation line to the gathered tile: divides chain, tile and line
  localparam int Granule = Chain < cosyn_pkg::Lanes ? Chain : cosyn_pkg::Lanes;
  localparam int GranulesPerLine = cosyn_pkg::ActivationLineBytes / Granule;
  localparam int GranulesPerTile = cosyn_pkg::TileColumns / Granule;

  // -- states --------------------------------------------------------------------------------------------------------------
  localparam logic [3:0] Idle = 4'd0;
  localparam logic [3:0] Setup = 4'd1;     // key tile x row stride, first row's line: shift, add, repeat
  localparam logic [3:0] Row = 4'd2;       // begins a row, or ends the instruction
  localparam logic [3:0] Lines = 4'd3;     // reads the lines of a row
  localparam logic [3:0] Fetch = 4'd4;     // asks for an activation or vector line
  localparam logic [3:0] Await = 4'd5;     // the line comes
  localparam logic [3:0] Steps = 4'd6;     // KEY: one stripe per step
  localparam logic [3:0] Gather = 4'd7;    // VALUE: fills the tile
  localparam logic [3:0] Spread = 4'd8;    // VALUE: the stripes of a tile
  localparam logic [3:0] Word = 4'd9;      // SCALE: one stripe per word
  localparam logic [3:0] Finish = 4'd10;   // hands the digest on to retirement
  localparam logic [3:0] Failed = 4'd11;   // an address error: only a reset leaves it

  logic [3:0]  state_q;
  logic [1:0]  mode_q;
  logic [31:0] address_q;       // start of the row: LINES its first stripe; KEY, VALUE tile base (+ step); SCALE stripe
  logic [31:0] stride_q;
  logic [15:0] rows_q;          // rows still to do
  logic [23:0] length_q, index_q;
  logic [23:0] source_q;        // LINES: line of the row; SCALE: word; KEY, VALUE: activation line of the row
  logic [19:0] source_stride_q;
  logic [9:0]  skip_q;          // token groups before the first row
  logic [15:0] key_tile_q;      // multiplier still to be added
  logic [31:0] addend_q;
  logic [7:0]  bank_q;
  logic [15:0] column_q;        // KEY: column in the tile; VALUE: lane in the step; SCALE: word in the stripe
  logic [23:0] line_q;          // next line to read
  logic [15:0] slot_q;          // step or granule within the activation line
  logic [15:0] granule_q;       // granules gathered; VALUE: stripe of the tile
  logic [31:0] tile_q;          // VALUE: first stripe of the tile; KEY: first stripe of the step
  logic [cosyn_pkg::ActivationLineBytes*8-1:0] held_q;
  logic        have_q;          // held_q is the line that slot_q refers to
  logic [cosyn_pkg::TileColumns*8-1:0]         gathered_q;
  logic [LineBits-1:0]          vector_q;

  logic [1:0]  mode;
  logic [3:0]  address_reg;
  logic [31:0] address;
  logic [9:0]  row;
  assign mode        = st_inst_i[cosyn_pkg::StModeLow +: cosyn_pkg::StModeBits];
  assign address_reg = st_inst_i[cosyn_pkg::StAddressRegLow +: cosyn_pkg::StAddressRegBits];
  assign address     = st_inst_i[cosyn_pkg::StAddressLow +: cosyn_pkg::StAddressBits]
      + (address_reg == '0 ? '0 : registers_i[address_reg*32 +: 32]);
  assign row         = st_inst_i[cosyn_pkg::StRowLow +: cosyn_pkg::StRowBits];

  function automatic logic [31:0] register(input logic [cosyn_pkg::Registers*32-1:0] values, input logic [3:0] index);
    register = values[32'(index)*32 +: 32];
  endfunction

  assign st_ready_o = state_q == Idle && !halt_i;

  // -- reads -----------------------------------------------------------------------------------------------------------------
  logic        room, bad_line, lines_go;
  logic [23:0] line_limit;
  logic        is_lines, is_key, is_value, is_scale;
  assign is_lines   = mode_q == cosyn_pkg::StoreModeLines;
  assign is_key     = mode_q == cosyn_pkg::StoreModeKey;
  assign is_value   = mode_q == cosyn_pkg::StoreModeValue;
  assign is_scale   = mode_q == cosyn_pkg::StoreModeScale;
  assign line_limit = is_lines || is_scale ? 24'(cosyn_pkg::VectorLines) : 24'(cosyn_pkg::ActivationLines);
  assign bad_line   = (state_q == Lines || state_q == Fetch) && line_q >= line_limit;

  // a column, lane or word that the host's registers put beyond tile, step or stripe
  logic bad_column;
  assign bad_column = state_q == Setup && (is_key ? 32'(column_q) >= cosyn_pkg::TileColumns
      : is_value ? 32'(column_q) >= Chain : 32'(column_q) >= WordsPerStripe);

  // LINES: the first line of a stripe is asked for only if the channels have room for it and those before it
  logic [$clog2(cosyn_pkg::StripeLines+1)-1:0] stripe_line_q;
  assign lines_go   = state_q == Lines && !bad_line && !halt_i && (stripe_line_q != '0 || room);
  assign vr_req_o   = lines_go || (state_q == Fetch && is_scale && !bad_line && !halt_i);
  assign vr_addr_o  = line_q[cosyn_pkg::VectorAddressBits-1:0];
  assign act_req_o  = state_q == Fetch && !is_scale && !bad_line && !halt_i;
  assign act_bank_o = bank_q;
  assign act_addr_o = line_q[cosyn_pkg::ActivationAddressBits-1:0];

  // -- LINES: assembles a stripe from the lines that come back -----------------------------------------------------------------
  logic [Stripe*8-1:0] assembly_q, assembly;
  logic [$clog2(cosyn_pkg::StripeLines+1)-1:0] arrived_q;
  logic [31:0] lines_stripe_q;      // stripe that is being assembled
  logic [23:0] lines_left_q;        // stripes of the row still to come back
  logic        lines_arrive, lines_full;
  assign lines_arrive = vr_valid_i && is_lines;
  assign lines_full   = lines_arrive && 32'(arrived_q) == cosyn_pkg::StripeLines - 1;
  always_comb begin
    assembly = assembly_q;
    for (int i = 0; i < cosyn_pkg::StripeLines; i++) begin
      if (32'(arrived_q) == i) assembly[i*LineBits +: LineBits] = vr_data_i;
    end
  end

  // -- beats: stripe address, data, strobes, and whether the burst ends ---------------------------------------------------------
  // data is repeated over the stripe where that is free, and strobes select: digests count only what they select
  logic              beat_q, beat_last_q, beat, beat_last;
  logic [31:0]       beat_stripe_q, beat_stripe;
  logic [Stripe*8-1:0] beat_data_q, beat_data;
  logic [Stripe-1:0] beat_strobe_q, beat_strobe;
  logic              go;

  assign go = room && !halt_i;

  // KEY: column c sits in word c % 2 of the step, at chain c / 2
  logic [15:0] chain, chain_in_stripe;
  logic [31:0] chain_stripe, key_stripe;
  assign chain = column_q >> 1;
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
  assign key_stripe = tile_q + (column_q[0] ? cosyn_pkg::RingReads : 32'd0) + chain_stripe;

  // VALUE: stripe granule_q of the tile holds columns 2 n + j for a range of chains n
  logic [31:0]                  spread_index;
  logic [ChainsPerStripe*8-1:0] value_bytes;
  logic [Stripe*8-1:0]          value_data;
  logic [Chain-1:0]             value_strobe;
  logic [Chain*8-1:0]           key_step;
  logic [31:0]                  scale_word;
  assign spread_index = 32'(granule_q);
  for (genvar n = 0; n < ChainsPerStripe; n++) begin : gen_value
    assign value_data[n*Chain*8 +: Chain*8] = {Chain{value_bytes[n*8 +: 8]}};
  end
  assign value_strobe = Chain'(1) << column_q[ChainShift-1:0];
  assign key_step     = held_q[32'(slot_q)*Chain*8 +: Chain*8];
  assign scale_word   = vector_q[32'(source_q[LaneShift-1:0])*32 +: 32];
  always_comb begin
    value_bytes = '0;
    for (int j = 0; j < 2; j++) begin
      for (int q = 0; q < cosyn_pkg::RingReads; q++) begin
        for (int n = 0; n < ChainsPerStripe; n++) begin
          if (spread_index == 32'(j*cosyn_pkg::RingReads + q)) begin
            value_bytes[n*8 +: 8] = gathered_q[(2*(q*ChainsPerStripe + n) + j)*8 +: 8];
          end
        end
      end
    end
  end

  always_comb begin
    beat        = 1'b0;
    beat_last   = 1'b1;
    beat_stripe = '0;
    beat_data   = '0;
    beat_strobe = '0;
    case (mode_q)
      cosyn_pkg::StoreModeLines: begin
        beat        = lines_full;
        beat_stripe = lines_stripe_q;
        beat_last   = lines_left_q == 24'd1
            || (lines_stripe_q & (cosyn_pkg::BurstBeats - 1)) == cosyn_pkg::BurstBeats - 1;
        beat_data   = assembly;
        beat_strobe = '1;
      end
      cosyn_pkg::StoreModeKey: begin
        beat        = state_q == Steps && have_q && go;
        beat_stripe = key_stripe;
        beat_data   = {ChainsPerStripe{key_step}};
        for (int n = 0; n < ChainsPerStripe; n++) begin
          if (16'(n) == chain_in_stripe) beat_strobe[n*Chain +: Chain] = '1;
        end
      end
      cosyn_pkg::StoreModeValue: begin
        beat        = state_q == Spread && go;
        beat_stripe = tile_q + spread_index;
        beat_last   = spread_index == StripesPerStep - 1
            || (beat_stripe & (cosyn_pkg::BurstBeats - 1)) == cosyn_pkg::BurstBeats - 1;
        beat_data   = value_data;
        beat_strobe = {ChainsPerStripe{value_strobe}};
      end
      default: begin
        beat        = state_q == Word && go;
        beat_stripe = address_q;
        beat_data   = {WordsPerStripe{scale_word}};
        for (int w = 0; w < WordsPerStripe; w++) if (16'(w) == column_q) beat_strobe[w*4 +: 4] = '1;
      end
    endcase
  end

  // -- the machine ------------------------------------------------------------------------------------------------------------
  logic setup_done, step_last, line_end, stripe_end, completion_ready;
  logic [9:0] row_groups;
  assign row_groups = row >> GroupShift;
  assign setup_done = skip_q == '0 && key_tile_q == '0;
  assign step_last  = index_q == length_q - 24'd1;
  assign line_end   = 32'(slot_q) == (is_key ? StepsPerLine : GranulesPerLine) - 1;
  assign stripe_end = 32'(stripe_line_q) == cosyn_pkg::StripeLines - 1;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q       <= Idle;
      beat_q        <= 1'b0;
      stripe_line_q <= '0;
      arrived_q     <= '0;
      have_q        <= 1'b0;
    end else begin
      beat_q <= beat;
      if (lines_arrive) arrived_q <= lines_full ? '0 : arrived_q + 1'b1;

      case (state_q)
        Idle: if (st_valid_i && !halt_i) state_q <= Setup;
        Setup: if (bad_column) state_q <= Failed;
          else if (setup_done) state_q <= Row;
        Row: begin
          have_q <= 1'b0;
          if (rows_q == '0 || (length_q == '0 && !is_scale)) state_q <= Finish;
          else state_q <= is_lines ? Lines : Fetch;
        end
        Lines: begin
          if (bad_line) state_q <= Failed;
          else if (vr_req_o && vr_gnt_i) begin
            stripe_line_q <= stripe_end ? '0 : stripe_line_q + 1'b1;
            if (stripe_end && step_last) state_q <= Await;
          end
        end
        Fetch: begin
          if (bad_line) state_q <= Failed;
          else if ((vr_req_o && vr_gnt_i) || (act_req_o && act_gnt_i)) state_q <= Await;
        end
        Await: begin
          if (is_lines) begin
            if (lines_full && lines_left_q == 24'd1) state_q <= Row;
          end else if (is_scale) begin
            if (vr_valid_i) state_q <= Word;
          end else if (act_valid_i) begin
            have_q  <= 1'b1;
            state_q <= is_key ? Steps : Gather;
          end
        end
        Steps: begin
          if (go) begin
            if (step_last) state_q <= Row;
            else if (line_end) state_q <= Fetch;
          end
        end
        Gather: begin
          if (32'(granule_q) == GranulesPerTile - 1) state_q <= Spread;
          else if (line_end) state_q <= Fetch;
          if (line_end) have_q <= 1'b0;
        end
        Spread: begin
          if (go && spread_index == StripesPerStep - 1) begin
            if (step_last) state_q <= Row;
            else state_q <= have_q ? Gather : Fetch;
          end
        end
        Word: begin
          if (go) begin
            if (rows_q == 16'd1) state_q <= Finish;
            else if (source_q[LaneShift-1:0] == '1) state_q <= Fetch;
          end
        end
        Finish: if (!beat_q && completion_ready) state_q <= Idle;
        default: state_q <= Failed;
      endcase
    end
  end

  // -- its registers: no reset, all are written before they are read ---------------------------------------------------------
  always_ff @(posedge clk_i) begin
    beat_last_q   <= beat_last;
    beat_stripe_q <= beat_stripe;
    beat_data_q   <= beat_data;
    beat_strobe_q <= beat_strobe;
    if (lines_arrive) begin
      assembly_q <= assembly;
      if (lines_full) begin
        lines_stripe_q <= lines_stripe_q + 1'b1;
        lines_left_q   <= lines_left_q - 1'b1;
      end
    end

    case (state_q)
      Idle: begin
        mode_q          <= mode;
        stride_q        <= st_inst_i[cosyn_pkg::StRowStrideLow +: cosyn_pkg::StRowStrideBits];
        rows_q          <= st_inst_i[cosyn_pkg::StRowsLow +: cosyn_pkg::StRowsBits];
        length_q        <= st_inst_i[cosyn_pkg::StLengthLow +: cosyn_pkg::StLengthBits];
        source_q        <= st_inst_i[cosyn_pkg::StSourceLow +: cosyn_pkg::StSourceBits];
        source_stride_q <= st_inst_i[cosyn_pkg::StSourceStrideLow +: cosyn_pkg::StSourceStrideBits];
        bank_q          <= 8'(row & 10'(cosyn_pkg::TokenGroup - 1));
        skip_q          <= '0;
        key_tile_q      <= '0;
        address_q       <= address;
        column_q        <= '0;
        addend_q        <= st_inst_i[cosyn_pkg::StRowStrideLow +: cosyn_pkg::StRowStrideBits];
        if (mode == cosyn_pkg::StoreModeKey) begin
          skip_q     <= row_groups;
          key_tile_q <= 16'(register(registers_i, cosyn_pkg::RegKeyTile));
          column_q   <= 16'(register(registers_i, cosyn_pkg::RegKeyColumn));
        end
        if (mode == cosyn_pkg::StoreModeValue) begin
          skip_q    <= row_groups;
          address_q <= address + (register(registers_i, cosyn_pkg::RegValueStep) << StepShift);
          column_q  <= 16'(register(registers_i, cosyn_pkg::RegValueLane));
        end
        if (mode == cosyn_pkg::StoreModeScale) begin
          address_q <= address + register(registers_i, cosyn_pkg::RegScaleStripe);
          column_q  <= 16'(register(registers_i, cosyn_pkg::RegScaleWord));
        end
      end
      Setup: begin
        if (skip_q != '0) begin
          skip_q   <= skip_q - 1'b1;
          source_q <= source_q + 24'(source_stride_q);
        end
        if (key_tile_q[0]) address_q <= address_q + addend_q;
        key_tile_q <= key_tile_q >> 1;
        addend_q   <= addend_q << 1;
      end
      Row: begin
        // takes the row: what follows refers to the row that begins here
        index_q        <= '0;
        slot_q         <= '0;
        granule_q      <= '0;
        tile_q         <= address_q;
        line_q         <= is_scale ? source_q >> LaneShift : source_q;
        lines_stripe_q <= address_q;
        lines_left_q   <= length_q;
      end
      Lines: begin
        if (vr_req_o && vr_gnt_i) begin
          line_q <= line_q + 1'b1;
          if (stripe_end) index_q <= index_q + 1'b1;
        end
      end
      Fetch: if (act_req_o && act_gnt_i) line_q <= line_q + 1'b1;
      Await: begin
        if (is_lines) begin
          if (lines_full && lines_left_q == 24'd1) begin
            address_q <= address_q + stride_q;
            source_q  <= source_q + 24'(source_stride_q);
            rows_q    <= rows_q - 1'b1;
          end
        end else if (is_scale) begin
          vector_q <= vr_data_i;
        end else if (act_valid_i) begin
          held_q <= act_data_i;
          slot_q <= '0;
        end
      end
      Steps: begin
        if (go) begin
          index_q <= index_q + 1'b1;
          slot_q  <= slot_q + 1'b1;
          tile_q  <= tile_q + StripesPerStep;
          if (step_last) begin
            rows_q   <= rows_q - 1'b1;
            bank_q   <= bank_q + 1'b1;
            column_q <= column_q + 1'b1;
            if (32'(column_q) == cosyn_pkg::TileColumns - 1) begin
              column_q  <= '0;
              address_q <= address_q + stride_q;
            end
            if (32'(bank_q) == cosyn_pkg::TokenGroup - 1) begin
              bank_q   <= '0;
              source_q <= source_q + 24'(source_stride_q);
            end
          end
        end
      end
      Gather: begin
        for (int i = 0; i < GranulesPerTile; i++) begin
          if (32'(granule_q) == i) begin
            gathered_q[i*Granule*8 +: Granule*8] <= held_q[32'(slot_q)*Granule*8 +: Granule*8];
          end
        end
        granule_q <= 32'(granule_q) == GranulesPerTile - 1 ? '0 : granule_q + 1'b1;
        slot_q    <= slot_q + 1'b1;
      end
      Spread: begin
        if (go) begin
          granule_q <= spread_index == StripesPerStep - 1 ? '0 : granule_q + 1'b1;
          if (spread_index == StripesPerStep - 1) begin
            index_q <= index_q + 1'b1;
            tile_q  <= tile_q + stride_q;
            if (step_last) begin
              rows_q   <= rows_q - 1'b1;
              bank_q   <= bank_q + 1'b1;
              column_q <= column_q + 1'b1;
              if (32'(column_q) == Chain - 1) begin
                column_q  <= '0;
                address_q <= address_q + StripesPerStep;
              end
              if (32'(bank_q) == cosyn_pkg::TokenGroup - 1) begin
                bank_q   <= '0;
                source_q <= source_q + 24'(source_stride_q);
              end
            end
          end
        end
      end
      Word: begin
        if (go) begin
          rows_q   <= rows_q - 1'b1;
          source_q <= source_q + 1'b1;
          line_q   <= (source_q + 24'd1) >> LaneShift;
          column_q <= column_q + 1'b1;
          if (32'(column_q) == WordsPerStripe - 1) begin
            column_q  <= '0;
            address_q <= address_q + 1'b1;
          end
        end
      end
      default: ;
    endcase
  end

  // -- digest and burst boundaries --------------------------------------------------------------------------------------------
  logic [Stripe*8-1:0] masked;
  logic [31:0]         fold, digest_q, burst_first_q, burst_first;
  logic [8:0]          burst_count_q;
  always_comb begin
    for (int i = 0; i < Stripe; i++) masked[i*8 +: 8] = beat_strobe_q[i] ? beat_data_q[i*8 +: 8] : 8'd0;
  end
  cosyn_fold #(.Words(Stripe / 4)) u_fold (.data_i(masked), .fold_o(fold));
  assign burst_first = burst_count_q == '0 ? beat_stripe_q : burst_first_q;

  always_ff @(posedge clk_i) begin
    if (state_q == Setup) digest_q <= '0;
    else if (beat_q) digest_q <= {digest_q[30:0], digest_q[31]} ^ fold ^ beat_stripe_q;
    if (rst_i) burst_count_q <= '0;
    else if (beat_q) burst_count_q <= beat_last_q ? '0 : burst_count_q + 1'b1;
    if (beat_q) burst_first_q <= burst_first;
  end

  // -- channels -----------------------------------------------------------------------------------------------------------------
  logic [Channels-1:0] channel_room, channel_idle, channel_error;
  assign room   = channel_room == '1;
  assign idle_o = channel_idle == '1;

  for (genvar c = 0; c < Channels; c++) begin : gen_channel
    cosyn_axi_write u_write (
      .clk_i, .rst_i, .halt_i,
      .room_o(channel_room[c]),
      .data_valid_i(beat_q),
      .data_i(beat_data_q[c*cosyn_pkg::ChannelBytes*8 +: cosyn_pkg::ChannelBytes*8]),
      .strobe_i(beat_strobe_q[c*cosyn_pkg::ChannelBytes +: cosyn_pkg::ChannelBytes]),
      .last_i(beat_last_q),
      .burst_addr_i(40'({8'd0, burst_first} << ByteShift)),
      .burst_beats_i(burst_count_q + 9'd1),
      .awaddr_o(awaddr_o[c*40 +: 40]),
      .awlen_o(awlen_o[c*8 +: 8]),
      .awvalid_o(awvalid_o[c]),
      .awready_i(awready_i[c]),
      .wdata_o(wdata_o[c*cosyn_pkg::ChannelBytes*8 +: cosyn_pkg::ChannelBytes*8]),
      .wstrb_o(wstrb_o[c*cosyn_pkg::ChannelBytes +: cosyn_pkg::ChannelBytes]),
      .wlast_o(wlast_o[c]),
      .wvalid_o(wvalid_o[c]),
      .wready_i(wready_i[c]),
      .bresp_i(bresp_i[c*2 +: 2]),
      .bvalid_i(bvalid_i[c]),
      .bready_o(bready_o[c]),
      .idle_o(channel_idle[c]),
      .error_o(channel_error[c])
    );
  end

  // -- retirement in order ------------------------------------------------------------------------------------------------------
  // Bursts are counted modulo a power of two. A channel that lags lacks at most Pending responses, and the others are at
  // most as far ahead of it.
  localparam int Pending = 2 * cosyn_pkg::BurstBeats + 8 + cosyn_pkg::OutstandingBursts + InFlight;
  localparam int CountBits = $clog2(2 * Pending + 1);
  localparam int FlightBits = $clog2(InFlight + 1);
  logic                  r_valid, retire, failed_q;
  logic [CountBits-1:0]  bursts_q, r_bursts;    // bursts up to the newest beat; up to the end of the next to retire
  logic [31:0]           r_digest;
  logic [Channels-1:0]   answered;              // all of those have their responses
  logic [FlightBits-1:0] unused_completions;

  cosyn_fifo #(.Width(CountBits + 32), .Depth(InFlight)) u_completions (
    .clk_i, .rst_i,
    .valid_i(state_q == Finish && !beat_q), .ready_o(completion_ready), .data_i({bursts_q, digest_q}),
    .valid_o(r_valid), .ready_i(retire), .data_o({r_bursts, r_digest}),
    .count_o(unused_completions)
  );

  for (genvar c = 0; c < Channels; c++) begin : gen_answered
    logic [CountBits-1:0] responses_q, missing;
    assign missing     = r_bursts - responses_q;
    assign answered[c] = missing == '0 || missing[CountBits-1];
    always_ff @(posedge clk_i) begin
      if (rst_i) responses_q <= '0;
      else if (bvalid_i[c] && bready_o[c]) responses_q <= responses_q + 1'b1;
    end
  end

  assign retire = r_valid && answered == '1 && channel_error == '0 && !failed_q && !halt_i;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      bursts_q  <= '0;
      failed_q  <= 1'b0;
      st_done_o <= 1'b0;
    end else begin
      if (beat_q && beat_last_q) bursts_q <= bursts_q + 1'b1;
      if (channel_error != '0) failed_q <= 1'b1;
      st_done_o <= retire;
    end
    st_digest_o <= r_digest;
  end

  // -- errors ---------------------------------------------------------------------------------------------------------------------
  logic [31:0] bad_channel;
  always_comb begin
    bad_channel = '0;
    for (int c = Channels - 1; c >= 0; c--) if (channel_error[c]) bad_channel = 32'(c);
  end
  always_ff @(posedge clk_i) begin
    error_o        <= !rst_i && (channel_error != '0 || bad_line || bad_column);
    error_code_o   <= channel_error != '0 ? cosyn_control_pkg::ErrorAxiWrite : cosyn_control_pkg::ErrorAddressRange;
    error_detail_o <= channel_error != '0 ? bad_channel : bad_column ? 32'(column_q) : 32'(line_q);
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && !halt_i) begin
      assert (!(retire && r_bursts == bursts_q) || idle_o) else $error("%m: retired with open writes");
      if (state_q == Word || state_q == Steps || state_q == Spread) begin
        assert (!is_value || 32'(column_q) < Chain) else $error("%m: VALUE_LANE is not below the chain length");
        assert (!is_key || 32'(column_q) < cosyn_pkg::TileColumns) else $error("%m: KEY_COLUMN is not in the tile");
        assert (!is_scale || 32'(column_q) < WordsPerStripe) else $error("%m: SCALE_WORD is not in the stripe");
      end
    end
  end
`endif
endmodule
