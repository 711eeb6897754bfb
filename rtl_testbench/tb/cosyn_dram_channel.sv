// SPDX-License-Identifier: Apache-2.0
// One memory channel of the test bench: an AXI4 slave with the timing of a DRAM channel, as in the cycle simulator.
//
// A burst arrives in the cycle of its address handshake; reads before writes of the same cycle. Bursts are served in
// order of arrival, the first no earlier than the cycle after its arrival. When a burst's turn comes it first waits
// RowMissCycles if its row is neither the open row nor the one after, and TurnaroundCycles if its direction is not that
// of the burst before; then it moves a beat a cycle, but none while cycle % RefreshIntervalCycles < RefreshCycles.
// Read data appears ReadLatencyCycles after its beat, the write response WriteLatencyCycles after the last beat.
// Bytes live in the DPI memory `Memory`, channel `Channel` (Verilator), or in `store` (Icarus).
// Not synthesisable.
module cosyn_dram_channel #(
    parameter int Memory = 0,
    parameter int Channel = 0,
    parameter int DataBytes = 32,
    parameter int RowBytes = 1024,
    parameter int RowMissCycles = 6,
    parameter int TurnaroundCycles = 4,
    parameter int RefreshIntervalCycles = 878,
    parameter int RefreshCycles = 59,
    parameter int ReadLatencyCycles = 28,
    parameter int WriteLatencyCycles = 12,
    parameter int StoreBeats = 4096
) (
    input logic clk_i,
    input logic rst_i,
    input logic [63:0] cycle_i,

    // Faults and stress: an error response at a beat; nothing moves; a beat pauses with probability pause_i / 256.
    input logic        fail_read_i,
    input logic        fail_write_i,
    input logic [39:0] fail_address_i,
    input logic        freeze_reads_i,
    input logic        freeze_writes_i,
    input logic [ 7:0] pause_i,

    input  logic [           39:0] s_axi_araddr,
    input  logic [            7:0] s_axi_arlen,
    input  logic                   s_axi_arvalid,
    output logic                   s_axi_arready,
    output logic [8*DataBytes-1:0] s_axi_rdata,
    output logic [            1:0] s_axi_rresp,
    output logic                   s_axi_rlast,
    output logic                   s_axi_rvalid,
    input  logic                   s_axi_rready,
    input  logic [           39:0] s_axi_awaddr,
    input  logic [            7:0] s_axi_awlen,
    input  logic                   s_axi_awvalid,
    output logic                   s_axi_awready,
    input  logic [8*DataBytes-1:0] s_axi_wdata,
    input  logic [  DataBytes-1:0] s_axi_wstrb,
    input  logic                   s_axi_wlast,
    input  logic                   s_axi_wvalid,
    output logic                   s_axi_wready,
    output logic [            1:0] s_axi_bresp,
    output logic                   s_axi_bvalid,
    input  logic                   s_axi_bready
);

  localparam int Bits = 8 * DataBytes;
  localparam int QueueEntries = 256;
  localparam int ReplyEntries = 1024;

  localparam logic [1:0] Okay = 2'b00;
  localparam logic [1:0] SlaveError = 2'b10;
  localparam logic [1:0] DecodeError = 2'b11;

`ifdef COSYN_DPI
  // Both return 1 for an address outside the memory. The same widths for every channel, as DPI asks.
  import "DPI-C" function int cosyn_memory_read(
    input int memory,
    input int channel,
    input int bytes,
    input longint address,
    output bit [511:0] data
  );
  import "DPI-C" function int cosyn_memory_write(
    input int memory,
    input int channel,
    input int bytes,
    input longint address,
    input bit [511:0] data,
    input bit [63:0] strobes
  );
`else
  logic [Bits-1:0] store[0:StoreBeats-1];
`endif

  // Bursts in order of arrival.
  logic [39:0] burst_address[0:QueueEntries-1];
  logic [7:0] burst_length[0:QueueEntries-1];
  logic burst_write[0:QueueEntries-1];
  logic [7:0] first_q, last_q;
  logic [8:0] count_q;

  // Read data and write responses, each with the cycle in which it appears.
  logic [Bits-1:0] reply_data[0:ReplyEntries-1];
  logic [2:0] reply_flags[0:ReplyEntries-1];
  logic [63:0] reply_cycle[0:ReplyEntries-1];
  logic [9:0] reply_first_q, reply_last_q;
  logic [10:0] reply_count_q;
  logic [63:0] response_cycle[0:QueueEntries-1];
  logic [1:0] response_code[0:QueueEntries-1];
  logic [7:0] response_first_q, response_last_q;
  logic [8:0] response_count_q;

  logic [31:0] random_q;
  logic [15:0] refresh_q;  // cycle % RefreshIntervalCycles
  logic started_q;  // the burst at the head has paid its penalties
  logic [15:0] wait_q;
  logic [7:0] beat_q;
  logic open_q, open_write_q;
  logic [39:0] open_row_q;
  logic write_failed_q;

  logic paused, refreshing, have, is_write, ready, serve, ends;
  logic [39:0] address, row, next_row;
  logic [15:0] penalty, waited;
  logic push_read, push_write, pop_reply, pop_response;
  logic [Bits-1:0] read_data;
  int outside;
`ifdef COSYN_DPI
  bit [511:0] wide_data;
`endif

  always_comb begin
    paused = random_q[7:0] < pause_i;
    refreshing = refresh_q < 16'(RefreshCycles);
    have = count_q != 9'd0;
    is_write = burst_write[first_q];
    address = burst_address[first_q] + 40'(beat_q) * 40'(DataBytes);
    row = address / 40'(RowBytes);
    next_row = open_row_q + 40'd1;
    penalty = 16'd0;
    if (!open_q || (row != open_row_q && row != next_row)) penalty = penalty + 16'(RowMissCycles);
    if (open_q && is_write != open_write_q) penalty = penalty + 16'(TurnaroundCycles);
    waited = started_q ? wait_q : penalty;
    ready = have && waited == 16'd0 && !refreshing && !paused;
    serve = ready && (is_write ? s_axi_wvalid && !freeze_writes_i : reply_count_q < 11'(ReplyEntries - 1));
    ends = serve && beat_q == burst_length[first_q];
  end

  assign s_axi_arready = count_q < 9'(QueueEntries - 2) && !freeze_reads_i && !paused;
  assign s_axi_awready = count_q < 9'(QueueEntries - 2) && !freeze_writes_i && !paused;
  assign s_axi_wready  = ready && is_write && !freeze_writes_i;
  assign s_axi_rvalid  = reply_count_q != 11'd0 && reply_cycle[reply_first_q] <= cycle_i && !freeze_reads_i;
  assign s_axi_rdata   = reply_data[reply_first_q];
  assign s_axi_rresp   = reply_flags[reply_first_q][1:0];
  assign s_axi_rlast   = reply_flags[reply_first_q][2];
  assign s_axi_bvalid  = response_count_q != 9'd0 && response_cycle[response_first_q] <= cycle_i && !freeze_writes_i;
  assign s_axi_bresp   = response_code[response_first_q];

  assign push_read     = s_axi_arvalid && s_axi_arready;
  assign push_write    = s_axi_awvalid && s_axi_awready;
  assign pop_reply     = s_axi_rvalid && s_axi_rready;
  assign pop_response  = s_axi_bvalid && s_axi_bready;

  // Memory is read and written in the cycle of the beat.
  always_ff @(posedge clk_i) begin
    if (!rst_i && serve) begin
      if (is_write) begin
`ifdef COSYN_DPI
        outside = cosyn_memory_write(Memory, Channel, DataBytes, 64'(address), 512'(s_axi_wdata), 64'(s_axi_wstrb));
        if (outside != 0) $display("%m: write outside the memory, at %h", address);
`else
        for (int i = 0; i < DataBytes; i = i + 1) begin
          if (s_axi_wstrb[i]) store[address/40'(DataBytes)][8*i+:8] <= s_axi_wdata[8*i+:8];
        end
`endif
      end else begin
`ifdef COSYN_DPI
        outside = cosyn_memory_read(Memory, Channel, DataBytes, 64'(address), wide_data);
        read_data = wide_data[Bits-1:0];
`else
        outside = address >= 40'(StoreBeats * DataBytes) ? 1 : 0;
        read_data = outside != 0 ? '0 : store[address/40'(DataBytes)];
`endif
        reply_data[reply_last_q]  <= read_data;
        reply_flags[reply_last_q] <= {ends, outside != 0 ? DecodeError : fail_read_i && address == fail_address_i ? SlaveError : Okay};
        reply_cycle[reply_last_q] <= cycle_i + 64'(ReadLatencyCycles);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    refresh_q <= refresh_q == 16'(RefreshIntervalCycles - 1) ? 16'd0 : refresh_q + 16'd1;
    random_q <= {random_q[30:0], random_q[31] ^ random_q[21] ^ random_q[1] ^ random_q[0]};
    if (push_read) begin
      burst_address[last_q] <= s_axi_araddr;
      burst_length[last_q]  <= s_axi_arlen;
      burst_write[last_q]   <= 1'b0;
    end
    if (push_write) begin
      burst_address[last_q+8'(push_read)] <= s_axi_awaddr;
      burst_length[last_q+8'(push_read)]  <= s_axi_awlen;
      burst_write[last_q+8'(push_read)]   <= 1'b1;
    end
    last_q  <= last_q + 8'(push_read) + 8'(push_write);
    count_q <= count_q + 9'(push_read) + 9'(push_write) - 9'(ends);

    if (have && !started_q) wait_q <= penalty == 16'd0 ? 16'd0 : penalty - 16'd1;
    else if (wait_q != 16'd0) wait_q <= wait_q - 16'd1;
    if (have) started_q <= !ends;
    if (serve) begin
      beat_q <= ends ? 8'd0 : beat_q + 8'd1;
      open_q <= 1'b1;
      open_write_q <= is_write;
      open_row_q <= row;
      write_failed_q <= !ends && (write_failed_q || (is_write && fail_write_i && address == fail_address_i));
    end
    if (ends) first_q <= first_q + 8'd1;

    if (serve && !is_write) reply_last_q <= reply_last_q + 10'd1;
    if (pop_reply) reply_first_q <= reply_first_q + 10'd1;
    reply_count_q <= reply_count_q + 11'(serve && !is_write) - 11'(pop_reply);

    if (ends && is_write) begin
      response_cycle[response_last_q] <= cycle_i + 64'(WriteLatencyCycles);
      response_code[response_last_q] <=
          write_failed_q || (fail_write_i && address == fail_address_i) ? SlaveError : Okay;
      response_last_q <= response_last_q + 8'd1;
    end
    if (pop_response) response_first_q <= response_first_q + 8'd1;
    response_count_q <= response_count_q + 9'(ends && is_write) - 9'(pop_response);

    if (rst_i) begin
      random_q <= 32'h2545_F491 ^ (32'(Channel) << 8) ^ (32'(Memory) << 16);
      refresh_q <= '0;
      first_q <= '0;
      last_q <= '0;
      count_q <= '0;
      started_q <= 1'b0;
      wait_q <= '0;
      beat_q <= '0;
      open_q <= 1'b0;
      open_write_q <= 1'b0;
      open_row_q <= '0;
      write_failed_q <= 1'b0;
      reply_first_q <= '0;
      reply_last_q <= '0;
      reply_count_q <= '0;
      response_first_q <= '0;
      response_last_q <= '0;
      response_count_q <= '0;
    end
  end

`ifndef SYNTHESIS
  // What every AXI4 master promises.
  localparam int BurstRule = 4096;
  logic held_ar_q, held_aw_q, held_w_q;
  logic [47:0] ar_q, aw_q;
  logic [Bits+DataBytes:0] w_q;
  always_ff @(posedge clk_i) begin
    held_ar_q <= !rst_i && s_axi_arvalid && !s_axi_arready;
    held_aw_q <= !rst_i && s_axi_awvalid && !s_axi_awready;
    held_w_q <= !rst_i && s_axi_wvalid && !s_axi_wready;
    ar_q <= {s_axi_araddr, s_axi_arlen};
    aw_q <= {s_axi_awaddr, s_axi_awlen};
    w_q <= {s_axi_wdata, s_axi_wstrb, s_axi_wlast};
    if (!rst_i) begin
      if (held_ar_q) assert (s_axi_arvalid && ar_q == {s_axi_araddr, s_axi_arlen})
        else $error("%m: ARVALID or its payload changed before ARREADY");
      if (held_aw_q) assert (s_axi_awvalid && aw_q == {s_axi_awaddr, s_axi_awlen})
        else $error("%m: AWVALID or its payload changed before AWREADY");
      if (held_w_q) assert (s_axi_wvalid && w_q == {s_axi_wdata, s_axi_wstrb, s_axi_wlast})
        else $error("%m: WVALID or its payload changed before WREADY");
      if (push_read) assert ((s_axi_araddr % 40'(BurstRule)) + (40'(s_axi_arlen) + 40'd1) * 40'(DataBytes) <= 40'(BurstRule))
        else $error("%m: read burst at %h, %0d beats, crosses 4 KiB", s_axi_araddr, s_axi_arlen + 1);
      if (push_write) assert ((s_axi_awaddr % 40'(BurstRule)) + (40'(s_axi_awlen) + 40'd1) * 40'(DataBytes) <= 40'(BurstRule))
        else $error("%m: write burst at %h, %0d beats, crosses 4 KiB", s_axi_awaddr, s_axi_awlen + 1);
      if (serve && is_write) assert (s_axi_wlast == ends)
        else $error("%m: WLAST %0d in beat %0d of %0d", s_axi_wlast, beat_q, burst_length[first_q]);
    end
  end
`endif

endmodule
