// SPDX-License-Identifier: Apache-2.0
// Simulation top: clock, accelerator, memory channels with DRAM timing, program memories, and a host's AXI4-Lite port.
// The host (Python) sets `host_*` and waits for `host_done_q`, or waits for `stop`: no Python runs while the accelerator
// works. Every retirement goes to the retirement trace. Not synthesisable.
module cosyn_tb;

  localparam int Cores = cosyn_pkg::Cores;
  localparam int PerCore = cosyn_pkg::ChannelsPerCore;
  localparam int Nch = Cores * PerCore;
  localparam int Bytes = cosyn_pkg::ChannelBytes;
  localparam int Bits = 8 * Bytes;
  localparam int Classes = cosyn_pkg::Opcodes;
  localparam int InstructionBytes = 16;  // width of a program memory's port

`ifdef COSYN_DPI
  import "DPI-C" function void cosyn_retire(
    input int place,
    input int digest,
    input longint cycle
  );
`endif

  logic clk = 1'b0;
  always #5 clk = !clk;

  // -- what the host sets -----------------------------------------------------------------------------------------
  logic rst = 1'b1;
  logic host_go = 1'b0;
  logic host_write = 1'b0;
  logic [11:0] host_address = '0;
  logic [31:0] host_data = '0;
  logic [63:0] limit = '1;  // `stop` rises in this cycle at the latest
  logic fail_read = 1'b0;
  logic fail_write = 1'b0;
  logic [7:0] fail_channel = '0;  // core * ChannelsPerCore + channel; 128 + core: program memory
  logic [39:0] fail_address = '0;
  logic [7:0] freeze_channel = '0;
  logic freeze_reads = 1'b0;
  logic freeze_writes = 1'b0;
  logic [7:0] pause = '0;
`ifdef COSYN_WINDOW
  logic [63:0] waves_from = '1;  // waves.fst starts in this cycle
`endif

  // -- what the host reads ----------------------------------------------------------------------------------------
  logic [63:0] cycle_q;
  logic host_done_q;
  logic [31:0] host_read_q;
  logic [1:0] host_response_q;
  logic interrupt;
  logic stop;

  assign stop = interrupt || cycle_q >= limit;

  always_ff @(posedge clk) begin
    if (rst) cycle_q <= '0;
    else cycle_q <= cycle_q + 64'd1;
  end

`ifdef COSYN_WINDOW
  logic waving_q = 1'b0;
  always_ff @(posedge clk) begin
    if (!waving_q && !rst && cycle_q >= waves_from) begin
      waving_q <= 1'b1;
      $dumpfile("waves.fst");
      $dumpvars(0, cosyn_tb);
    end
  end
`endif

  // -- accelerator ------------------------------------------------------------------------------------------------
  logic [Nch*40-1:0] araddr, awaddr;
  logic [Nch*8-1:0] arlen, awlen;
  logic [Nch-1:0] arvalid, arready, awvalid, awready, rvalid, rready, rlast, wvalid, wready, wlast, bvalid, bready;
  logic [Nch*Bits-1:0] rdata, wdata;
  logic [Nch*Bytes-1:0] wstrb;
  logic [Nch*2-1:0] rresp, bresp;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [Nch*3-1:0] arsize, awsize;
  logic [Nch*2-1:0] arburst, awburst;
  logic [Cores*3-1:0] inst_arsize;
  logic [Cores*2-1:0] inst_arburst;
  /* verilator lint_on UNUSEDSIGNAL */
  logic [Cores*40-1:0] inst_araddr;
  logic [Cores*8-1:0] inst_arlen;
  logic [Cores-1:0] inst_arvalid, inst_arready, inst_rvalid, inst_rready, inst_rlast;
  logic [Cores*128-1:0] inst_rdata;
  logic [Cores*2-1:0] inst_rresp;

  logic [11:0] axil_address_q;
  logic [31:0] axil_data_q, axil_rdata;
  logic axil_awvalid_q, axil_awready, axil_wvalid_q, axil_wready, axil_bvalid, axil_bready;
  logic axil_arvalid_q, axil_arready, axil_rvalid, axil_rready;
  logic [1:0] axil_bresp, axil_rresp;

  logic [Cores*Classes-1:0] retire;
  logic [Cores*Classes*32-1:0] retire_digest;

  cosyn_accelerator accelerator (
      .clk_i(clk),
      .rst_i(rst),
      .s_axil_awaddr(axil_address_q),
      .s_axil_awvalid(axil_awvalid_q),
      .s_axil_awready(axil_awready),
      .s_axil_wdata(axil_data_q),
      .s_axil_wstrb(4'hf),
      .s_axil_wvalid(axil_wvalid_q),
      .s_axil_wready(axil_wready),
      .s_axil_bresp(axil_bresp),
      .s_axil_bvalid(axil_bvalid),
      .s_axil_bready(axil_bready),
      .s_axil_araddr(axil_address_q),
      .s_axil_arvalid(axil_arvalid_q),
      .s_axil_arready(axil_arready),
      .s_axil_rdata(axil_rdata),
      .s_axil_rresp(axil_rresp),
      .s_axil_rvalid(axil_rvalid),
      .s_axil_rready(axil_rready),
      .interrupt_o(interrupt),
      .m_axi_inst_araddr(inst_araddr),
      .m_axi_inst_arlen(inst_arlen),
      .m_axi_inst_arsize(inst_arsize),
      .m_axi_inst_arburst(inst_arburst),
      .m_axi_inst_arvalid(inst_arvalid),
      .m_axi_inst_arready(inst_arready),
      .m_axi_inst_rdata(inst_rdata),
      .m_axi_inst_rresp(inst_rresp),
      .m_axi_inst_rlast(inst_rlast),
      .m_axi_inst_rvalid(inst_rvalid),
      .m_axi_inst_rready(inst_rready),
      .m_axi_araddr(araddr),
      .m_axi_arlen(arlen),
      .m_axi_arsize(arsize),
      .m_axi_arburst(arburst),
      .m_axi_arvalid(arvalid),
      .m_axi_arready(arready),
      .m_axi_rdata(rdata),
      .m_axi_rresp(rresp),
      .m_axi_rlast(rlast),
      .m_axi_rvalid(rvalid),
      .m_axi_rready(rready),
      .m_axi_awaddr(awaddr),
      .m_axi_awlen(awlen),
      .m_axi_awsize(awsize),
      .m_axi_awburst(awburst),
      .m_axi_awvalid(awvalid),
      .m_axi_awready(awready),
      .m_axi_wdata(wdata),
      .m_axi_wstrb(wstrb),
      .m_axi_wlast(wlast),
      .m_axi_wvalid(wvalid),
      .m_axi_wready(wready),
      .m_axi_bresp(bresp),
      .m_axi_bvalid(bvalid),
      .m_axi_bready(bready),
      .retire_o(retire),
      .retire_digest_o(retire_digest)
  );

  // -- host port: one AXI4-Lite access per rise of host_go ----------------------------------------------------------
  assign axil_bready = 1'b1;
  assign axil_rready = 1'b1;

  localparam int HostPatience = 10000;  // cycles until an access without an answer ends with code 3
  logic host_busy_q;
  logic [15:0] host_wait_q;

  always_ff @(posedge clk) begin
    if (axil_awready) axil_awvalid_q <= 1'b0;
    if (axil_wready) axil_wvalid_q <= 1'b0;
    if (axil_arready) axil_arvalid_q <= 1'b0;
    if (host_go && !host_busy_q && !host_done_q) begin
      host_busy_q <= 1'b1;
      host_wait_q <= '0;
      axil_address_q <= host_address;
      axil_data_q <= host_data;
      axil_awvalid_q <= host_write;
      axil_wvalid_q <= host_write;
      axil_arvalid_q <= !host_write;
    end
    if (host_busy_q) begin
      host_wait_q <= host_wait_q + 16'd1;
      if (axil_bvalid || axil_rvalid || host_wait_q == 16'(HostPatience)) begin
        host_busy_q <= 1'b0;
        host_done_q <= 1'b1;
        host_read_q <= axil_rdata;
        host_response_q <= axil_bvalid ? axil_bresp : axil_rvalid ? axil_rresp : 2'b11;
      end
    end
    if (!host_go) host_done_q <= 1'b0;
    if (rst) begin
      axil_address_q <= '0;
      axil_data_q <= '0;
      axil_awvalid_q <= 1'b0;
      axil_wvalid_q <= 1'b0;
      axil_arvalid_q <= 1'b0;
      host_busy_q <= 1'b0;
      host_wait_q <= '0;
      host_done_q <= 1'b0;
      host_read_q <= '0;
      host_response_q <= '0;
    end
  end

  // -- memories ---------------------------------------------------------------------------------------------------
  for (genvar core = 0; core < Cores; core++) begin : gen_core
    for (genvar channel = 0; channel < PerCore; channel++) begin : gen_channel
      localparam int I = core * PerCore + channel;
      cosyn_dram_channel #(
          .Memory(2 * core),
          .Channel(channel),
          .DataBytes(Bytes),
          .RowBytes(cosyn_pkg::MemoryRowBytes),
          .RowMissCycles(cosyn_pkg::MemoryRowMissCycles),
          .TurnaroundCycles(cosyn_pkg::MemoryTurnaroundCycles),
          .RefreshIntervalCycles(cosyn_pkg::MemoryRefreshIntervalCycles),
          .RefreshCycles(cosyn_pkg::MemoryRefreshCycles),
          .ReadLatencyCycles(cosyn_pkg::MemoryReadLatencyCycles),
          .WriteLatencyCycles(cosyn_pkg::MemoryWriteLatencyCycles),
          .StoreBeats(65536)
      ) u_channel (
          .clk_i(clk),
          .rst_i(rst),
          .cycle_i(cycle_q),
          .fail_read_i(fail_read && fail_channel == 8'(I)),
          .fail_write_i(fail_write && fail_channel == 8'(I)),
          .fail_address_i(fail_address),
          .freeze_reads_i(freeze_reads && freeze_channel == 8'(I)),
          .freeze_writes_i(freeze_writes && freeze_channel == 8'(I)),
          .pause_i(pause),
          .s_axi_araddr(araddr[I*40+:40]),
          .s_axi_arlen(arlen[I*8+:8]),
          .s_axi_arvalid(arvalid[I]),
          .s_axi_arready(arready[I]),
          .s_axi_rdata(rdata[I*Bits+:Bits]),
          .s_axi_rresp(rresp[I*2+:2]),
          .s_axi_rlast(rlast[I]),
          .s_axi_rvalid(rvalid[I]),
          .s_axi_rready(rready[I]),
          .s_axi_awaddr(awaddr[I*40+:40]),
          .s_axi_awlen(awlen[I*8+:8]),
          .s_axi_awvalid(awvalid[I]),
          .s_axi_awready(awready[I]),
          .s_axi_wdata(wdata[I*Bits+:Bits]),
          .s_axi_wstrb(wstrb[I*Bytes+:Bytes]),
          .s_axi_wlast(wlast[I]),
          .s_axi_wvalid(wvalid[I]),
          .s_axi_wready(wready[I]),
          .s_axi_bresp(bresp[I*2+:2]),
          .s_axi_bvalid(bvalid[I]),
          .s_axi_bready(bready[I])
      );
    end

    // A program memory answers after the same latency, a beat a cycle, without rows or refresh.
    /* verilator lint_off PINCONNECTEMPTY */
    cosyn_dram_channel #(
        .Memory(2 * core + 1),
        .Channel(0),
        .DataBytes(InstructionBytes),
        .RowBytes(4096),
        .RowMissCycles(0),
        .TurnaroundCycles(0),
        .RefreshIntervalCycles(32768),
        .RefreshCycles(0),
        .ReadLatencyCycles(cosyn_pkg::MemoryReadLatencyCycles),
        .WriteLatencyCycles(0),
        .StoreBeats(16384)
    ) u_program (
        .clk_i(clk),
        .rst_i(rst),
        .cycle_i(cycle_q),
        .fail_read_i(fail_read && fail_channel == 8'(128 + core)),
        .fail_write_i(1'b0),
        .fail_address_i(fail_address),
        .freeze_reads_i(freeze_reads && freeze_channel == 8'(128 + core)),
        .freeze_writes_i(1'b0),
        .pause_i(pause),
        .s_axi_araddr(inst_araddr[core*40+:40]),
        .s_axi_arlen(inst_arlen[core*8+:8]),
        .s_axi_arvalid(inst_arvalid[core]),
        .s_axi_arready(inst_arready[core]),
        .s_axi_rdata(inst_rdata[core*128+:128]),
        .s_axi_rresp(inst_rresp[core*2+:2]),
        .s_axi_rlast(inst_rlast[core]),
        .s_axi_rvalid(inst_rvalid[core]),
        .s_axi_rready(inst_rready[core]),
        .s_axi_awaddr(40'd0),
        .s_axi_awlen(8'd0),
        .s_axi_awvalid(1'b0),
        .s_axi_awready(),
        .s_axi_wdata(128'd0),
        .s_axi_wstrb(16'd0),
        .s_axi_wlast(1'b0),
        .s_axi_wvalid(1'b0),
        .s_axi_wready(),
        .s_axi_bresp(),
        .s_axi_bvalid(),
        .s_axi_bready(1'b1)
    );
    /* verilator lint_on PINCONNECTEMPTY */
  end

  // -- retirement trace -------------------------------------------------------------------------------------------
`ifndef COSYN_DPI
  integer trace_file;
  initial trace_file = $fopen("retirements.txt", "w");
`endif
  always_ff @(posedge clk) begin
    if (!rst && retire != '0) begin
      for (int place = 0; place < Cores * Classes; place = place + 1) begin
        if (retire[place]) begin
`ifdef COSYN_DPI
          cosyn_retire(place, retire_digest[32*place+:32], cycle_q);
`else
          $fdisplay(trace_file, "%0d %0d %0d", place, retire_digest[32*place+:32], cycle_q);
          $fflush(trace_file);
`endif
        end
      end
    end
  end

  // -- every write to the buffers, for explaining a difference (COSYN_WRITES) -----------------------------------------
`ifdef COSYN_WRITES
  import "DPI-C" function void cosyn_trace_write(
    input int place,
    input int address,
    input int slot,
    input bit [511:0] data,
    input longint mask,
    input longint cycle
  );
  for (genvar core = 0; core < Cores; core++) begin : gen_writes
    localparam int Lanes = cosyn_pkg::Lanes;
    localparam longint AllLanes = (64'd1 << Lanes) - 64'd1;
    // `place` is core * 8 + class of the writer; 6: activation buffer (slot: bank * 65536 + slot of the line).
    always_ff @(posedge clk) begin
      if (accelerator.gen_core[core].u_core.lw_req && accelerator.gen_core[core].u_core.lw_gnt)
        cosyn_trace_write(core * 8 + 0, 32'(accelerator.gen_core[core].u_core.lw_addr), 0,
                          512'(accelerator.gen_core[core].u_core.lw_data), AllLanes, cycle_q);
      if (accelerator.gen_core[core].u_core.mw_req && accelerator.gen_core[core].u_core.mw_gnt)
        cosyn_trace_write(core * 8 + 2, 32'(accelerator.gen_core[core].u_core.mw_addr), 0,
                          512'(accelerator.gen_core[core].u_core.mw_data), AllLanes, cycle_q);
      if (accelerator.gen_core[core].u_core.fw_req && accelerator.gen_core[core].u_core.fw_gnt)
        cosyn_trace_write(core * 8 + 4, 32'(accelerator.gen_core[core].u_core.fw_addr), 0,
                          512'(accelerator.gen_core[core].u_core.fw_data),
                          64'(accelerator.gen_core[core].u_core.fw_mask), cycle_q);
      if (accelerator.gen_core[core].u_core.aw_we)
        cosyn_trace_write(core * 8 + 6, 32'(accelerator.gen_core[core].u_core.aw_addr),
                          32'(accelerator.gen_core[core].u_core.aw_bank) * 65536
                          + 32'(accelerator.gen_core[core].u_core.aw_slot),
                          512'(accelerator.gen_core[core].u_core.aw_data), AllLanes, cycle_q);
    end
  end
`endif

endmodule
