// SPDX-License-Identifier: Apache-2.0
// Goes through a store instruction: its setup, rows, the lines to read, and when a stripe of KEY, VALUE or SCALE is
// written. Its cycles are those of store/README.md.
module cosyn_store_walk (
  input  logic                                          clk_i,
  input  logic                                          rst_i,
  input  logic                                          halt_i,
  input  logic [cosyn_pkg::Registers*32-1:0]            registers_i,
  // instructions
  input  logic                                          st_valid_i,
  output logic                                          st_ready_o,
  input  logic [cosyn_pkg::InstructionBits-1:0]         st_inst_i,
  // reads of the vector buffer and of the activation buffer
  output logic                                          vr_req_o,
  output logic [cosyn_pkg::VectorAddressBits-1:0]       vr_addr_o,
  input  logic                                          vr_gnt_i,
  input  logic                                          vr_valid_i,
  output logic                                          act_req_o,
  output logic [7:0]                                    act_bank_o,
  output logic [cosyn_pkg::ActivationAddressBits-1:0]   act_addr_o,
  input  logic                                          act_gnt_i,
  input  logic                                          act_valid_i,
  // LINES
  output logic                                          row_o,               // begins a row
  output logic [23:0]                                   length_o,
  input  logic                                          lines_end_i,         // the row's last stripe is complete
  // KEY, VALUE, SCALE
  output logic                                          hold_activation_o,   // the activation line is there
  output logic                                          hold_vector_o,
  output logic                                          gather_o,            // a granule joins the tile
  output logic [15:0]                                   slot_o,              // step or granule within the line
  output logic [15:0]                                   granule_o,           // of the tile; VALUE: stripe of the tile
  output logic [cosyn_pkg::LaneBits-1:0]                word_o,
  input  logic                                          room_i,              // the channels take another stripe
  output logic                                          beat_o,              // writes a stripe
  // the place of the stripe
  output logic [1:0]                                    mode_o,
  output logic [31:0]                                   address_o,           // of the row; SCALE: stripe
  output logic [31:0]                                   tile_o,
  output logic [15:0]                                   column_o,
  // begin and end of the instruction
  output logic                                          setup_o,
  output logic                                          finish_o,
  input  logic                                          finish_ready_i,
  // a line or register out of range, and which
  output logic                                          error_o,
  output logic [31:0]                                   error_detail_o
);
  localparam int Chain = cosyn_pkg::ChainLength;
  localparam int GroupShift = $clog2(cosyn_pkg::TokenGroup);
  localparam int LaneShift = cosyn_pkg::LaneBits;
  localparam int StripesPerStep = 2 * cosyn_pkg::RingReads;
  localparam int StepShift = $clog2(StripesPerStep);
  localparam int WordsPerStripe = cosyn_pkg::StripeBytes / 4;
  localparam int StepsPerLine = cosyn_pkg::ActivationLineBytes / Chain;
  localparam int Granule = Chain < cosyn_pkg::Lanes ? Chain : cosyn_pkg::Lanes;   // as in cosyn_store_source
  localparam int GranulesPerLine = cosyn_pkg::ActivationLineBytes / Granule;
  localparam int GranulesPerTile = cosyn_pkg::TileColumns / Granule;

  // -- states ---------------------------------------------------------------------------------------------------------
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
  logic        have_q;          // the line that is held is the one that slot_q refers to
  logic [$clog2(cosyn_pkg::StripeLines+1)-1:0] stripe_line_q;   // LINES: lines of the stripe that were asked for

  logic [1:0]  mode;
  logic [3:0]  address_reg;
  logic [31:0] address;
  logic [9:0]  row, row_groups;
  assign mode        = st_inst_i[cosyn_pkg::StModeLow +: cosyn_pkg::StModeBits];
  assign address_reg = st_inst_i[cosyn_pkg::StAddressRegLow +: cosyn_pkg::StAddressRegBits];
  assign address     = st_inst_i[cosyn_pkg::StAddressLow +: cosyn_pkg::StAddressBits]
      + (address_reg == '0 ? '0 : registers_i[address_reg*32 +: 32]);
  assign row         = st_inst_i[cosyn_pkg::StRowLow +: cosyn_pkg::StRowBits];
  assign row_groups  = row >> GroupShift;

  function automatic logic [31:0] register(input logic [cosyn_pkg::Registers*32-1:0] values, input logic [3:0] index);
    register = values[32'(index)*32 +: 32];
  endfunction

  logic is_lines, is_key, is_value, is_scale;
  assign is_lines = mode_q == cosyn_pkg::StoreModeLines;
  assign is_key   = mode_q == cosyn_pkg::StoreModeKey;
  assign is_value = mode_q == cosyn_pkg::StoreModeValue;
  assign is_scale = mode_q == cosyn_pkg::StoreModeScale;

  assign st_ready_o = state_q == Idle && !halt_i;
  assign setup_o    = state_q == Setup;
  assign row_o      = state_q == Row;
  assign finish_o   = state_q == Finish;

  // -- reads ----------------------------------------------------------------------------------------------------------
  logic        bad_line, lines_go;
  logic [23:0] line_limit;
  assign line_limit = is_lines || is_scale ? 24'(cosyn_pkg::VectorLines) : 24'(cosyn_pkg::ActivationLines);
  assign bad_line   = (state_q == Lines || state_q == Fetch) && line_q >= line_limit;

  // a column, lane or word that the host's registers put beyond tile, step or stripe
  logic bad_column;
  assign bad_column = state_q == Setup && (is_key ? 32'(column_q) >= cosyn_pkg::TileColumns
      : is_value ? 32'(column_q) >= Chain : 32'(column_q) >= WordsPerStripe);
  assign error_o        = bad_line || bad_column;
  assign error_detail_o = bad_column ? 32'(column_q) : 32'(line_q);

  // LINES: the first line of a stripe is asked for only if the channels have room for it and those before it
  assign lines_go   = state_q == Lines && !bad_line && !halt_i && (stripe_line_q != '0 || room_i);
  assign vr_req_o   = lines_go || (state_q == Fetch && is_scale && !bad_line && !halt_i);
  assign vr_addr_o  = line_q[cosyn_pkg::VectorAddressBits-1:0];
  assign act_req_o  = state_q == Fetch && !is_scale && !bad_line && !halt_i;
  assign act_bank_o = bank_q;
  assign act_addr_o = line_q[cosyn_pkg::ActivationAddressBits-1:0];

  // -- what the stripes are made of, and when one is written ----------------------------------------------------------
  logic go;
  assign go                = room_i && !halt_i;
  assign beat_o            = go && (state_q == Steps || state_q == Spread || state_q == Word);
  assign hold_activation_o = state_q == Await && (is_key || is_value) && act_valid_i;
  assign hold_vector_o     = state_q == Await && is_scale && vr_valid_i;
  assign gather_o          = state_q == Gather;
  assign slot_o            = slot_q;
  assign granule_o         = granule_q;
  assign word_o            = source_q[LaneShift-1:0];
  assign length_o          = length_q;
  assign mode_o            = mode_q;
  assign address_o         = address_q;
  assign tile_o            = tile_q;
  assign column_o          = column_q;

  // -- the machine ----------------------------------------------------------------------------------------------------
  logic setup_done, step_last, line_end, stripe_end;
  assign setup_done = skip_q == '0 && key_tile_q == '0;
  assign step_last  = index_q == length_q - 24'd1;
  assign line_end   = 32'(slot_q) == (is_key ? StepsPerLine : GranulesPerLine) - 1;
  assign stripe_end = 32'(stripe_line_q) == cosyn_pkg::StripeLines - 1;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q       <= Idle;
      stripe_line_q <= '0;
      have_q        <= 1'b0;
    end else begin
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
            if (lines_end_i) state_q <= Row;
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
          if (go && 32'(granule_q) == StripesPerStep - 1) begin
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
        Finish: if (finish_ready_i) state_q <= Idle;
        default: state_q <= Failed;
      endcase
    end
  end

  // -- its registers: no reset, all are written before they are read --------------------------------------------------
  always_ff @(posedge clk_i) begin
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
          if (lines_end_i) begin
            address_q <= address_q + stride_q;
            source_q  <= source_q + 24'(source_stride_q);
            rows_q    <= rows_q - 1'b1;
          end
        end else if (hold_activation_o) begin
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
        granule_q <= 32'(granule_q) == GranulesPerTile - 1 ? '0 : granule_q + 1'b1;
        slot_q    <= slot_q + 1'b1;
      end
      Spread: begin
        if (go) begin
          granule_q <= 32'(granule_q) == StripesPerStep - 1 ? '0 : granule_q + 1'b1;
          if (32'(granule_q) == StripesPerStep - 1) begin
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

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && !halt_i && (state_q == Word || state_q == Steps || state_q == Spread)) begin
      assert (!is_value || 32'(column_q) < Chain) else $error("%m: VALUE_LANE is not below the chain length");
      assert (!is_key || 32'(column_q) < cosyn_pkg::TileColumns) else $error("%m: KEY_COLUMN is not in the tile");
      assert (!is_scale || 32'(column_q) < WordsPerStripe) else $error("%m: SCALE_WORD is not in the stripe");
    end
  end
`endif
endmodule
