// SPDX-License-Identifier: Apache-2.0
// Barriers between the cores and the exchange of vector lines: when every core is here, each in turn reads its lines
// (one a cycle, port 1 of its vector buffer, highest priority) and all others write them at the same addresses.
// BARRIER: done_o one cycle after the last core came. EXCHANGE: 5 cycles a core and one a line later (no lines: 2).
module cosyn_exchange (
  input  logic                                                  clk_i,
  input  logic                                                  rst_i,
  input  logic [cosyn_pkg::Cores-1:0]                           valid_i,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::SysOperationBits-1:0] operation_i,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::SysBaseBits-1:0]    base_i,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::SysRowsBits-1:0]    rows_i,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::SysRowStrideBits-1:0] stride_i,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::SysLinesBits-1:0]   lines_i,
  output logic [cosyn_pkg::Cores-1:0]                           done_o,
  // vector buffers: read data two cycles after the grant
  output logic [cosyn_pkg::Cores-1:0]                           rd_req_o,
  output logic [cosyn_pkg::VectorAddressBits-1:0]               rd_addr_o,
  input  logic [cosyn_pkg::Cores-1:0]                           rd_gnt_i,
  input  logic [cosyn_pkg::Cores-1:0]                           rd_valid_i,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::LineBytes*8-1:0]    rd_data_i,
  output logic [cosyn_pkg::Cores-1:0]                           wr_req_o,
  output logic [cosyn_pkg::VectorAddressBits-1:0]               wr_addr_o,
  output logic [cosyn_pkg::LineBytes*8-1:0]                     wr_data_o,
  input  logic [cosyn_pkg::Cores-1:0]                           wr_gnt_i,
  output logic                                                  error_o,
  output logic [7:0]                                            error_code_o,
  output logic [7:0]                                            error_core_o,
  output logic [31:0]                                           error_detail_o
);
  localparam int Cores = cosyn_pkg::Cores;
  localparam int CoreBits = Cores > 1 ? $clog2(Cores) : 1;
  localparam int LineBits = cosyn_pkg::LineBytes * 8;
  localparam int AddressBits = cosyn_pkg::VectorAddressBits;
  localparam int Room = 24;   // bits of a line number on its way to the range check

  localparam logic [2:0] Idle = 3'd0;
  localparam logic [2:0] Begin = 3'd1;
  localparam logic [2:0] Send = 3'd2;
  localparam logic [2:0] Flush = 3'd3;
  localparam logic [2:0] Done = 3'd4;
  localparam logic [2:0] Failed = 3'd5;

  logic [2:0]          state_q;
  logic [CoreBits-1:0] core_q;
  logic [Room-1:0]     line_q, row_q;
  logic [15:0]         left_q, rows_q, lines_q;
  logic [19:0]         stride_q;
  logic [Cores-1:0]    turn;        // one-hot of the sending core
  logic                together, agree, exchange, send, bad, last_line;
  logic [1:0]          pipe_q;      // reads on their way
  logic [2*AddressBits-1:0] pipe_address_q;
  logic                write_q;
  logic [AddressBits-1:0] write_address_q;
  logic [LineBits-1:0] write_data_q;
  logic [7:0]          odd_core;

  // what the core at turn sends: chosen without an index that needs a multiplier
  logic [Room-1:0]                     base;
  logic [15:0]                         rows, lines;
  logic [19:0]                         stride;
  logic [LineBits-1:0]                 turn_data;
  logic [cosyn_pkg::SysOperationBits-1:0] odd_operation;
  always_comb begin
    base      = '0;
    rows      = '0;
    stride    = '0;
    lines     = '0;
    turn_data = '0;
    for (int c = 0; c < Cores; c++) begin
      if (turn[c]) begin
        base      = Room'(base_i[c*cosyn_pkg::SysBaseBits +: cosyn_pkg::SysBaseBits]);
        rows      = 16'(rows_i[c*cosyn_pkg::SysRowsBits +: cosyn_pkg::SysRowsBits]);
        stride    = 20'(stride_i[c*cosyn_pkg::SysRowStrideBits +: cosyn_pkg::SysRowStrideBits]);
        lines     = 16'(lines_i[c*cosyn_pkg::SysLinesBits +: cosyn_pkg::SysLinesBits]);
        turn_data = rd_data_i[c*LineBits +: LineBits];
      end
    end
  end

  assign together = valid_i == '1;
  assign exchange = operation_i[0 +: cosyn_pkg::SysOperationBits] == cosyn_pkg::SystemOperationExchange;
  always_comb begin
    agree         = 1'b1;
    odd_core      = '0;
    odd_operation = operation_i[0 +: cosyn_pkg::SysOperationBits];
    for (int c = 1; c < Cores; c++) begin
      if (operation_i[c*cosyn_pkg::SysOperationBits +: cosyn_pkg::SysOperationBits]
          != operation_i[0 +: cosyn_pkg::SysOperationBits]) begin
        agree         = 1'b0;
        odd_core      = 8'(c);
        odd_operation = operation_i[c*cosyn_pkg::SysOperationBits +: cosyn_pkg::SysOperationBits];
      end
    end
  end

  assign turn      = Cores'(1) << core_q;
  assign bad       = state_q == Send && 32'(line_q) >= cosyn_pkg::VectorLines;
  assign send      = state_q == Send && !bad;
  assign last_line = left_q == 16'd1;
  assign rd_req_o  = send ? turn : '0;
  assign rd_addr_o = line_q[AddressBits-1:0];
  assign done_o    = state_q == Done ? '1 : '0;
  assign wr_req_o  = write_q ? ~turn : '0;
  assign wr_addr_o = write_address_q;
  assign wr_data_o = write_data_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= Idle;
      pipe_q  <= '0;
      write_q <= 1'b0;
      error_o <= 1'b0;
    end else begin
      pipe_q  <= {pipe_q[0], send};
      write_q <= pipe_q[1];
      error_o <= bad || (state_q == Idle && together && !agree);
      case (state_q)
        Idle: if (together) state_q <= !agree ? Failed : exchange && Cores > 1 ? Begin : Done;
        Begin: begin
          state_q <= rows == '0 || lines == '0 ? Flush : Send;
        end
        Send: begin
          if (bad) state_q <= Failed;
          else if (last_line && rows_q == 16'd1) state_q <= Flush;
        end
        Flush: if (pipe_q == '0 && !write_q) state_q <= 32'(core_q) == Cores - 1 ? Done : Begin;
        Done: state_q <= Idle;
        default: state_q <= Failed;
      endcase
    end
    case (state_q)
      Idle: core_q <= '0;
      Begin: begin
        line_q   <= base;
        row_q    <= base + Room'(stride);
        rows_q   <= rows;
        left_q   <= lines;
        lines_q  <= lines;
        stride_q <= stride;
      end
      Send: begin
        line_q <= last_line ? row_q : line_q + 1'b1;
        left_q <= last_line ? lines_q : left_q - 1'b1;
        if (last_line) begin
          row_q  <= row_q + Room'(stride_q);
          rows_q <= rows_q - 1'b1;
        end
      end
      Flush: if (pipe_q == '0 && !write_q) core_q <= core_q + 1'b1;
      default: ;
    endcase
    pipe_address_q  <= {pipe_address_q[AddressBits-1:0], rd_addr_o};
    write_address_q <= pipe_address_q[AddressBits +: AddressBits];
    write_data_q    <= turn_data;
    error_code_o    <= bad ? cosyn_control_pkg::ErrorAddressRange : cosyn_control_pkg::ErrorExchange;
    error_core_o    <= bad ? 8'(core_q) : odd_core;
    error_detail_o  <= bad ? 32'(line_q) : 32'(odd_operation);
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert ((rd_req_o & ~rd_gnt_i) == '0) else $error("%m: a read of the exchange was not granted at once");
      assert ((wr_req_o & ~wr_gnt_i) == '0) else $error("%m: a write of the exchange was not granted at once");
      assert (!pipe_q[1] || (rd_valid_i & turn) != '0) else $error("%m: read data did not come after two cycles");
    end
  end
`endif
endmodule
