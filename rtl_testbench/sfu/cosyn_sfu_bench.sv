// SPDX-License-Identifier: Apache-2.0
// Bench of the special-function unit: the unit, a real vector buffer and a plain activation memory. The exchange port
// of the vector buffer takes writes (of no lane) in `deny_i` of 256 cycles at random; the load and the store port let
// the bench fill and read memory. Counts cycles from accept to done, and what coverage asks for.
module cosyn_sfu_bench (
    input  logic                                   clk_i,
    input  logic                                   rst_i,
    input  logic [   cosyn_pkg::Registers*32-1:0] registers_i,
    input  logic [                            7:0] deny_i,
    input  logic                                   misc_valid_i,
    output logic                                   misc_ready_o,
    input  logic [ cosyn_pkg::InstructionBits-1:0] misc_inst_i,
    output logic                                   done_o,       // since the last accept
    output logic [                           31:0] digest_o,
    output logic [                           31:0] cycles_o,
    output logic [                            7:0] error_o,      // the last error code since the last accept
    output logic [                           31:0] denied_o,     // requests that were not granted
    output logic [                           31:0] waited_o,     // cycles in which a fetch waited
    input  logic                                   fill_i,
    input  logic [cosyn_pkg::VectorAddressBits-1:0] line_i,
    input  logic [     cosyn_pkg::LineBytes*8-1:0] fill_data_i,
    input  logic                                   peek_i,
    output logic                                   peek_valid_o,
    output logic [     cosyn_pkg::LineBytes*8-1:0] peek_data_o,
    input  logic                                   act_fill_i,
    input  logic [                            7:0] act_bank_i,
    input  logic [cosyn_pkg::ActivationAddressBits-1:0] act_line_i,
    output logic [cosyn_pkg::ActivationLineBytes*8-1:0] act_data_o
);
  localparam int AddressBits = cosyn_pkg::VectorAddressBits;
  localparam int LineBits = cosyn_pkg::LineBytes * 8;
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int ActBits = cosyn_pkg::ActivationLineBytes * 8;

  logic done, error, r0_en, request, grant, denying, fill_grant_unused, drain_grant_unused, deny_grant_unused;
  logic [31:0] digest;
  logic [7:0] code;
  logic [AddressBits-1:0] r0_addr, addr;
  logic [LineBits-1:0] r0_data, data;
  logic [Lanes-1:0] mask;
  logic act_we;
  logic [7:0] act_bank;
  logic [cosyn_pkg::ActivationAddressBits-1:0] act_addr;
  logic [15:0] act_slot;
  logic [Lanes*8-1:0] act_data;
  logic [2:0] read_grant_unused, read_valid;

  cosyn_sfu u_sfu (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .registers_i  (registers_i),
      .misc_valid_i (misc_valid_i),
      .misc_ready_o (misc_ready_o),
      .misc_inst_i  (misc_inst_i),
      .misc_done_o  (done),
      .misc_digest_o(digest),
      .r0_en_o      (r0_en),
      .r0_addr_o    (r0_addr),
      .r0_data_i    (r0_data),
      .vw_req_o     (request),
      .vw_addr_o    (addr),
      .vw_data_o    (data),
      .vw_mask_o    (mask),
      .vw_gnt_i     (grant),
      .act_we_o     (act_we),
      .act_bank_o   (act_bank),
      .act_addr_o   (act_addr),
      .act_slot_o   (act_slot),
      .act_data_o   (act_data),
      .error_o      (error),
      .error_code_o (code)
  );

  cosyn_vector_buffer u_vectors (
      .clk_i     (clk_i),
      .rst_i     (rst_i),
      .r0_en_i   (r0_en),
      .r0_addr_i (r0_addr),
      .r0_data_o (r0_data),
      .rd_req_i  ({peek_i, 2'b00}),
      .rd_addr_i ({3{line_i}}),
      .rd_gnt_o  (read_grant_unused),
      .rd_valid_o(read_valid),
      .rd_data_o (peek_data_o),
      .wr_req_i  ({fill_i, 1'b0, request, denying}),
      .wr_addr_i ({line_i, {AddressBits{1'b0}}, addr, {AddressBits{1'b0}}}),
      .wr_data_i ({fill_data_i, {LineBits{1'b0}}, data, {LineBits{1'b0}}}),
      .wr_mask_i ({{Lanes{1'b1}}, {Lanes{1'b0}}, mask, {Lanes{1'b0}}}),
      .wr_gnt_o  ({fill_grant_unused, drain_grant_unused, grant, deny_grant_unused})
  );
  assign peek_valid_o = read_valid[2];

  logic [15:0] noise_q;
  assign denying = noise_q[7:0] < deny_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) noise_q <= 16'hACE1;
    else begin
      // Eight steps of x^16 + x^14 + x^13 + x^11 + 1.
      noise_q <= {
        noise_q[7:0], noise_q[15:8] ^ noise_q[13:6] ^ noise_q[12:5] ^ noise_q[10:3]
      };
    end
  end

  logic running_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      running_q <= 1'b0;
      done_o <= 1'b0;
      cycles_o <= 32'd0;
      denied_o <= 32'd0;
      waited_o <= 32'd0;
      error_o <= 8'd0;
    end else begin
      if (misc_valid_i && misc_ready_o) begin
        running_q <= 1'b1;
        done_o <= 1'b0;
        cycles_o <= 32'd0;
        error_o <= 8'd0;
      end else begin
        if (running_q) cycles_o <= cycles_o + 32'd1;
        if (error) error_o <= code;
        if (done) begin
          running_q <= 1'b0;
          done_o <= 1'b1;
          digest_o <= digest;
        end
      end
      if (request && !grant) denied_o <= denied_o + 32'd1;
      if (u_sfu.u_fetch.active_q && !u_sfu.u_fetch.go) waited_o <= waited_o + 32'd1;
    end
  end

  // Activation memory: banks after each other.
  logic [ActBits-1:0] activations[cosyn_pkg::TokenGroup*cosyn_pkg::ActivationLines];
  // verilator lint_off UNUSEDSIGNAL
  int write_place, read_place;
  // verilator lint_on UNUSEDSIGNAL
  assign write_place = int'(act_bank) * cosyn_pkg::ActivationLines + int'(act_addr);
  assign read_place = int'(act_bank_i) * cosyn_pkg::ActivationLines + int'(act_line_i);
  always_ff @(posedge clk_i) begin
    if (act_we) activations[write_place][act_slot*Lanes*8+:Lanes*8] <= act_data;
    if (act_fill_i) activations[read_place] <= '0;
    act_data_o <= activations[read_place];
  end
endmodule
