// SPDX-License-Identifier: Apache-2.0
// The whole accelerator: control, cores and the exchange between them. AXI4 masters are packed vectors: data channel
// c of core i has index i * ChannelsPerCore + c, instruction ports have one index per core. No IDs: every channel
// answers in order. retire_o pulses once per retired instruction and class, with the digest of what it wrote.
module cosyn_accelerator (
  input  logic                                          clk_i,
  input  logic                                          rst_i,
  input  logic [cosyn_control_pkg::AddressBits-1:0]     s_axil_awaddr,
  input  logic                                          s_axil_awvalid,
  output logic                                          s_axil_awready,
  input  logic [31:0]                                   s_axil_wdata,
  input  logic [3:0]                                    s_axil_wstrb,
  input  logic                                          s_axil_wvalid,
  output logic                                          s_axil_wready,
  output logic [1:0]                                    s_axil_bresp,
  output logic                                          s_axil_bvalid,
  input  logic                                          s_axil_bready,
  input  logic [cosyn_control_pkg::AddressBits-1:0]     s_axil_araddr,
  input  logic                                          s_axil_arvalid,
  output logic                                          s_axil_arready,
  output logic [31:0]                                   s_axil_rdata,
  output logic [1:0]                                    s_axil_rresp,
  output logic                                          s_axil_rvalid,
  input  logic                                          s_axil_rready,
  output logic                                          interrupt_o,
  // instruction memories
  output logic [cosyn_pkg::Cores*40-1:0]                m_axi_inst_araddr,
  output logic [cosyn_pkg::Cores*8-1:0]                 m_axi_inst_arlen,
  output logic [cosyn_pkg::Cores*3-1:0]                 m_axi_inst_arsize,
  output logic [cosyn_pkg::Cores*2-1:0]                 m_axi_inst_arburst,
  output logic [cosyn_pkg::Cores-1:0]                   m_axi_inst_arvalid,
  input  logic [cosyn_pkg::Cores-1:0]                   m_axi_inst_arready,
  input  logic [cosyn_pkg::Cores*128-1:0]               m_axi_inst_rdata,
  input  logic [cosyn_pkg::Cores*2-1:0]                 m_axi_inst_rresp,
  input  logic [cosyn_pkg::Cores-1:0]                   m_axi_inst_rlast,
  input  logic [cosyn_pkg::Cores-1:0]                   m_axi_inst_rvalid,
  output logic [cosyn_pkg::Cores-1:0]                   m_axi_inst_rready,
  // data memories
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*40-1:0] m_axi_araddr,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*8-1:0]  m_axi_arlen,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*3-1:0]  m_axi_arsize,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*2-1:0]  m_axi_arburst,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_arvalid,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_arready,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::StripeBytes*8-1:0]      m_axi_rdata,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*2-1:0]  m_axi_rresp,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_rlast,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_rvalid,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_rready,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*40-1:0] m_axi_awaddr,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*8-1:0]  m_axi_awlen,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*3-1:0]  m_axi_awsize,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*2-1:0]  m_axi_awburst,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_awvalid,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_awready,
  output logic [cosyn_pkg::Cores*cosyn_pkg::StripeBytes*8-1:0]      m_axi_wdata,
  output logic [cosyn_pkg::Cores*cosyn_pkg::StripeBytes-1:0]        m_axi_wstrb,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_wlast,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_wvalid,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_wready,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore*2-1:0]  m_axi_bresp,
  input  logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_bvalid,
  output logic [cosyn_pkg::Cores*cosyn_pkg::ChannelsPerCore-1:0]    m_axi_bready,
  // retirement trace
  output logic [cosyn_pkg::Cores*6-1:0]                 retire_o,
  output logic [cosyn_pkg::Cores*6*32-1:0]              retire_digest_o
);
  localparam int Cores = cosyn_pkg::Cores;
  localparam int Per = cosyn_pkg::ChannelsPerCore;
  localparam int Channels = Cores * Per;
  localparam int Stripe = cosyn_pkg::StripeBytes;
  localparam int VA = cosyn_pkg::VectorAddressBits;
  localparam int LB = cosyn_pkg::LineBytes * 8;
  localparam int OpBits = cosyn_pkg::SysOperationBits;
  localparam int BaseBits = cosyn_pkg::SysBaseBits;
  localparam int RowsBits = cosyn_pkg::SysRowsBits;
  localparam int StrideBits = cosyn_pkg::SysRowStrideBits;
  localparam int LinesBits = cosyn_pkg::SysLinesBits;
  localparam int Counters = 26;

  localparam logic [1:0] Incrementing = 2'b01;
  localparam logic [2:0] DataSize = 3'($clog2(cosyn_pkg::ChannelBytes));
  localparam logic [2:0] InstructionSize = 3'd4;
  localparam logic [7:0] InstructionBeats = 8'd3;   // ARLEN: four beats

  assign m_axi_inst_arlen   = {Cores{InstructionBeats}};
  assign m_axi_inst_arsize  = {Cores{InstructionSize}};
  assign m_axi_inst_arburst = {Cores{Incrementing}};
  assign m_axi_arsize       = {Channels{DataSize}};
  assign m_axi_arburst      = {Channels{Incrementing}};
  assign m_axi_awsize       = {Channels{DataSize}};
  assign m_axi_awburst      = {Channels{Incrementing}};

  // -- control -----------------------------------------------------------------------------------------------------------
  logic                               core_rst, start, halt;
  logic [Cores*40-1:0]                base;
  logic [cosyn_pkg::Registers*32-1:0] registers;
  logic [Cores-1:0]                   finished, quiet, core_error;
  logic [Cores*Counters*32-1:0]       counters;
  logic [Cores*32-1:0]                fetched, core_state, core_detail;
  logic [Cores*8-1:0]                 core_code;
  logic [Cores*4-1:0]                 core_class;
  logic                               x_error;
  logic [7:0]                         x_code, x_core;
  logic [31:0]                        x_detail;

  cosyn_control u_control (
    .clk_i, .rst_i,
    .s_axil_awaddr, .s_axil_awvalid, .s_axil_awready, .s_axil_wdata, .s_axil_wstrb, .s_axil_wvalid, .s_axil_wready,
    .s_axil_bresp, .s_axil_bvalid, .s_axil_bready, .s_axil_araddr, .s_axil_arvalid, .s_axil_arready,
    .s_axil_rdata, .s_axil_rresp, .s_axil_rvalid, .s_axil_rready,
    .interrupt_o,
    .core_rst_o(core_rst), .start_o(start), .halt_o(halt), .base_o(base), .registers_o(registers),
    .finished_i(finished), .quiet_i(quiet), .counters_i(counters), .fetched_i(fetched), .state_i(core_state),
    .error_i(core_error), .error_code_i(core_code), .error_class_i(core_class), .error_detail_i(core_detail),
    .x_error_i(x_error), .x_error_code_i(x_code), .x_error_core_i(x_core), .x_error_detail_i(x_detail)
  );

  // -- exchange -----------------------------------------------------------------------------------------------------------
  logic [Cores-1:0]            x_valid, x_done, x_rd_req, x_rd_gnt, x_rd_valid, x_wr_req, x_wr_gnt;
  logic [Cores*OpBits-1:0]     x_operation;
  logic [Cores*BaseBits-1:0]   x_base;
  logic [Cores*RowsBits-1:0]   x_rows;
  logic [Cores*StrideBits-1:0] x_stride;
  logic [Cores*LinesBits-1:0]  x_lines;
  logic [VA-1:0]               x_rd_addr, x_wr_addr;
  logic [Cores*LB-1:0]         x_rd_data;
  logic [LB-1:0]               x_wr_data;

  cosyn_exchange u_exchange (
    .clk_i, .rst_i(core_rst),
    .valid_i(x_valid), .operation_i(x_operation), .base_i(x_base), .rows_i(x_rows), .stride_i(x_stride),
    .lines_i(x_lines), .done_o(x_done),
    .rd_req_o(x_rd_req), .rd_addr_o(x_rd_addr), .rd_gnt_i(x_rd_gnt), .rd_valid_i(x_rd_valid), .rd_data_i(x_rd_data),
    .wr_req_o(x_wr_req), .wr_addr_o(x_wr_addr), .wr_data_o(x_wr_data), .wr_gnt_i(x_wr_gnt),
    .error_o(x_error), .error_code_o(x_code), .error_core_o(x_core), .error_detail_o(x_detail)
  );

  // -- cores -----------------------------------------------------------------------------------------------------------------
  for (genvar i = 0; i < Cores; i++) begin : gen_core
    cosyn_core u_core (
      .clk_i, .rst_i(core_rst), .start_i(start), .halt_i(halt),
      .base_i(base[i*40 +: 40]), .registers_i(registers),
      .finished_o(finished[i]), .quiet_o(quiet[i]),
      .error_o(core_error[i]), .error_code_o(core_code[i*8 +: 8]), .error_class_o(core_class[i*4 +: 4]),
      .error_detail_o(core_detail[i*32 +: 32]),
      .counters_o(counters[i*Counters*32 +: Counters*32]), .fetched_o(fetched[i*32 +: 32]),
      .state_o(core_state[i*32 +: 32]),
      .retire_o(retire_o[i*6 +: 6]), .retire_digest_o(retire_digest_o[i*6*32 +: 6*32]),
      .inst_araddr_o(m_axi_inst_araddr[i*40 +: 40]),
      .inst_arvalid_o(m_axi_inst_arvalid[i]),
      .inst_arready_i(m_axi_inst_arready[i]),
      .inst_rdata_i(m_axi_inst_rdata[i*128 +: 128]),
      .inst_rresp_i(m_axi_inst_rresp[i*2 +: 2]),
      .inst_rvalid_i(m_axi_inst_rvalid[i]),
      .inst_rready_o(m_axi_inst_rready[i]),
      .araddr_o(m_axi_araddr[i*Per*40 +: Per*40]),
      .arlen_o(m_axi_arlen[i*Per*8 +: Per*8]),
      .arvalid_o(m_axi_arvalid[i*Per +: Per]),
      .arready_i(m_axi_arready[i*Per +: Per]),
      .rdata_i(m_axi_rdata[i*Stripe*8 +: Stripe*8]),
      .rresp_i(m_axi_rresp[i*Per*2 +: Per*2]),
      .rlast_i(m_axi_rlast[i*Per +: Per]),
      .rvalid_i(m_axi_rvalid[i*Per +: Per]),
      .rready_o(m_axi_rready[i*Per +: Per]),
      .awaddr_o(m_axi_awaddr[i*Per*40 +: Per*40]),
      .awlen_o(m_axi_awlen[i*Per*8 +: Per*8]),
      .awvalid_o(m_axi_awvalid[i*Per +: Per]),
      .awready_i(m_axi_awready[i*Per +: Per]),
      .wdata_o(m_axi_wdata[i*Stripe*8 +: Stripe*8]),
      .wstrb_o(m_axi_wstrb[i*Stripe +: Stripe]),
      .wlast_o(m_axi_wlast[i*Per +: Per]),
      .wvalid_o(m_axi_wvalid[i*Per +: Per]),
      .wready_i(m_axi_wready[i*Per +: Per]),
      .bresp_i(m_axi_bresp[i*Per*2 +: Per*2]),
      .bvalid_i(m_axi_bvalid[i*Per +: Per]),
      .bready_o(m_axi_bready[i*Per +: Per]),
      .x_valid_o(x_valid[i]),
      .x_operation_o(x_operation[i*OpBits +: OpBits]),
      .x_base_o(x_base[i*BaseBits +: BaseBits]),
      .x_rows_o(x_rows[i*RowsBits +: RowsBits]),
      .x_stride_o(x_stride[i*StrideBits +: StrideBits]),
      .x_lines_o(x_lines[i*LinesBits +: LinesBits]),
      .x_done_i(x_done[i]),
      .x_apart_i(x_valid != '1),
      .x_rd_req_i(x_rd_req[i]),
      .x_rd_addr_i(x_rd_addr),
      .x_rd_gnt_o(x_rd_gnt[i]),
      .x_rd_valid_o(x_rd_valid[i]),
      .x_rd_data_o(x_rd_data[i*LB +: LB]),
      .x_wr_req_i(x_wr_req[i]),
      .x_wr_addr_i(x_wr_addr),
      .x_wr_data_i(x_wr_data),
      .x_wr_gnt_o(x_wr_gnt[i])
    );
  end

  // rlast of the instruction ports is implied by the fixed burst of four beats
  logic unused_rlast;
  assign unused_rlast = &m_axi_inst_rlast;
endmodule
