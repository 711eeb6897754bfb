// SPDX-License-Identifier: Apache-2.0
// Instruction fetch of one core: reads 64-byte instructions over a 128-bit AXI4 port, up to Ahead of them in advance,
// checks CRC, opcode and choices, and dispatches in program order until SYS DONE. One instruction every four cycles.
// What was fetched past DONE is dropped; a read error counts only for an instruction that would be dispatched.
module cosyn_fetch (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  input  logic                                  start_i,          // pulse: begin at base_i
  input  logic                                  halt_i,
  input  logic [39:0]                           base_i,
  // AXI4 read port
  output logic [39:0]                           araddr_o,
  output logic                                  arvalid_o,
  input  logic                                  arready_i,
  input  logic [127:0]                          rdata_i,
  input  logic [1:0]                            rresp_i,
  input  logic                                  rvalid_i,
  output logic                                  rready_o,
  // dispatch: one-hot valid per class
  output logic [cosyn_pkg::Opcodes-1:0]         valid_o,
  input  logic [cosyn_pkg::Opcodes-1:0]         ready_i,
  output logic [cosyn_pkg::InstructionBits-1:0] inst_o,
  // state
  output logic                                  active_o,         // DONE has not been dispatched yet
  output logic                                  idle_o,           // no read is open
  output logic [31:0]                           fetched_o,        // instructions dispatched
  output logic                                  error_o,
  output logic [7:0]                            error_code_o,
  output logic [31:0]                           error_detail_o
);
  localparam int Ahead = 8;
  localparam int CountBits = $clog2(Ahead + 1);
  localparam int Bits = cosyn_pkg::InstructionBits;

  // -- requests: one burst of four beats per instruction, never more than the buffer can take -------------------------
  logic                 active_q, arvalid_q;
  logic [39:0]          next_q, araddr_q;
  logic [CountBits-1:0] reserved_q;   // instructions requested and not yet dispatched
  logic [CountBits-1:0] open_q;       // bursts without their last beat
  logic                 request, last_beat, pop;
  logic [1:0]           beat_q;

  assign request   = active_q && !halt_i && (!arvalid_q || arready_i) && reserved_q != CountBits'(Ahead);
  assign last_beat = rvalid_i && beat_q == 2'd3;
  assign araddr_o  = araddr_q;
  assign arvalid_o = arvalid_q;
  assign rready_o  = 1'b1;
  assign idle_o    = open_q == '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      arvalid_q  <= 1'b0;
      reserved_q <= '0;
      open_q     <= '0;
    end else begin
      if (request) arvalid_q <= 1'b1;
      else if (arready_i) arvalid_q <= 1'b0;
      if (request && !pop) reserved_q <= reserved_q + 1'b1;
      if (pop && !request) reserved_q <= reserved_q - 1'b1;
      if (request && !last_beat) open_q <= open_q + 1'b1;
      if (last_beat && !request) open_q <= open_q - 1'b1;
    end
    if (start_i) next_q <= base_i;
    else if (request) next_q <= next_q + 40'd64;
    if (request) araddr_q <= next_q;
  end

  // -- assembly, and CRC-16/CCITT-FALSE on the way: lowest byte first, most significant bit of each first ------------
  // Bit i of the CRC after a beat is the parity of these bits of {CRC before, beat}: the serial form, followed with sets
  // of bits in place of bits. As 128 steps in a row it takes synthesis a minute.
  function automatic logic [16*144-1:0] parities(input int beat_bits);
    logic [143:0] feedback;
    parities = '0;
    for (int i = 0; i < 16; i++) parities[144*i+128+i] = 1'b1;
    for (int i = 0; i < beat_bits; i++) begin
      feedback = parities[144*15 +: 144] ^ (144'd1 << ((i/8)*8 + 7 - i%8));
      parities = {parities[144*15-1:0], feedback};
      parities[144*5 +: 144]  = parities[144*5 +: 144] ^ feedback;
      parities[144*12 +: 144] = parities[144*12 +: 144] ^ feedback;
    end
  endfunction
  localparam logic [16*144-1:0] Parities = parities(128);

  logic [383:0]    low_q;
  logic [15:0]     crc_q, crc_in, crc_out, crc_field;
  logic [127:0]    crc_data;
  logic            bad_response_q, buffer_ready, head_valid;
  logic            head_bad_crc, head_bad_response;
  logic [Bits-1:0] head;
  logic [CountBits-1:0] unused_count;

  always_comb begin
    crc_in   = crc_q;
    crc_data = rdata_i;
    if (beat_q == 2'd0) begin
      crc_in = 16'hffff;
      crc_data[cosyn_pkg::CrcPosition +: cosyn_pkg::CrcBits] = '0;
    end
    for (int i = 0; i < 16; i++) crc_out[i] = ^(Parities[144*i +: 144] & {crc_in, crc_data});
  end
  assign crc_field = low_q[cosyn_pkg::CrcPosition +: cosyn_pkg::CrcBits];

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      beat_q         <= '0;
      bad_response_q <= 1'b0;
    end else if (rvalid_i) begin
      beat_q         <= beat_q + 1'b1;
      bad_response_q <= !last_beat && (bad_response_q || rresp_i != '0);
    end
    if (rvalid_i) begin
      crc_q <= crc_out;
      if (!last_beat) low_q[beat_q*128 +: 128] <= rdata_i;
    end
  end

  cosyn_fifo #(.Width(Bits + 2), .Depth(Ahead)) u_buffer (
    .clk_i, .rst_i,
    .valid_i(last_beat), .ready_o(buffer_ready),
    .data_i({bad_response_q || rresp_i != '0, crc_out != crc_field, rdata_i, low_q}),
    .valid_o(head_valid), .ready_i(pop), .data_o({head_bad_response, head_bad_crc, head}),
    .count_o(unused_count)
  );

  // -- check and dispatch ----------------------------------------------------------------------------------------------
  logic [cosyn_pkg::OpcodeBits-1:0] opcode;
  logic                             legal, good, error_q;
  logic [31:0]                      fetched_q;

  assign opcode = head[cosyn_pkg::OpcodeBits-1:0];

  always_comb begin
    legal = 1'b1;
    case (opcode)
      cosyn_pkg::OpLd: begin
        legal = head[cosyn_pkg::LdTargetLow +: cosyn_pkg::LdTargetBits] <= cosyn_pkg::LoadTargetVector;
      end
      cosyn_pkg::OpSt, cosyn_pkg::OpMm, cosyn_pkg::OpMv: legal = 1'b1;
      cosyn_pkg::OpMisc: begin
        legal = head[cosyn_pkg::MiscFunctionLow +: cosyn_pkg::MiscFunctionBits] <= cosyn_pkg::FunctionRelu
            && head[cosyn_pkg::MiscBKindLow +: cosyn_pkg::MiscBKindBits] <= cosyn_pkg::OperandVector
            && head[cosyn_pkg::MiscCKindLow +: cosyn_pkg::MiscCKindBits] <= cosyn_pkg::OperandVector
            && head[cosyn_pkg::MiscDKindLow +: cosyn_pkg::MiscDKindBits] <= cosyn_pkg::OperandVector
            && head[cosyn_pkg::MiscReductionLow +: cosyn_pkg::MiscReductionBits]
               <= cosyn_pkg::ReductionAbsoluteMaximum
            && head[cosyn_pkg::MiscOutputLow +: cosyn_pkg::MiscOutputBits] <= cosyn_pkg::OutputActivation;
      end
      cosyn_pkg::OpSys: begin
        legal = head[cosyn_pkg::SysOperationLow +: cosyn_pkg::SysOperationBits] <= cosyn_pkg::SystemOperationDone;
      end
      default: legal = 1'b0;
    endcase
  end

  assign good   = !head_bad_response && !head_bad_crc && legal;
  assign inst_o = head;
  assign pop    = (valid_o & ready_i) != '0;

  always_comb begin
    valid_o = '0;
    if (head_valid && good && active_q && !halt_i) valid_o[opcode[2:0]] = 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      active_q  <= 1'b0;
      fetched_q <= '0;
      error_q   <= 1'b0;
    end else begin
      if (start_i) active_q <= 1'b1;
      else if (pop && opcode == cosyn_pkg::OpSys
          && head[cosyn_pkg::SysOperationLow +: cosyn_pkg::SysOperationBits] == cosyn_pkg::SystemOperationDone) begin
        active_q <= 1'b0;
      end
      if (pop) fetched_q <= fetched_q + 1'b1;
      error_q <= head_valid && active_q && !good;
    end
    error_code_o <= head_bad_response ? cosyn_control_pkg::ErrorAxiRead
                  : head_bad_crc ? cosyn_control_pkg::ErrorInstructionCrc
                  : cosyn_control_pkg::ErrorInstructionCode;
  end

  assign active_o       = active_q;
  assign fetched_o      = fetched_q;
  assign error_o        = error_q;
  assign error_detail_o = fetched_q;

`ifndef SYNTHESIS
  logic        held_q;
  logic [39:0] held_address_q;
  always_ff @(posedge clk_i) begin
    held_q         <= !rst_i && arvalid_o && !arready_i;
    held_address_q <= araddr_o;
    if (!rst_i) begin
      if (held_q) assert (arvalid_o && araddr_o == held_address_q) else $error("%m: AR changed before it was accepted");
      assert (!last_beat || buffer_ready) else $error("%m: an instruction arrived without room");
      assert (!rvalid_i || open_q != '0) else $error("%m: read data without a request");
    end
  end
`endif
endmodule
