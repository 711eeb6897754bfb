// SPDX-License-Identifier: Apache-2.0
// AXI4-Lite slave with the registers of accelerator_model/control.py, and the machine behind them: start resets the
// cores and begins their programs; done when all have finished; an error halts every core, lets open AXI transfers end,
// and stays until a soft reset. A write is answered the cycle after both its channels came, a read two cycles after.
module cosyn_control (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  // AXI4-Lite
  input  logic [cosyn_control_pkg::AddressBits-1:0] s_axil_awaddr,
  input  logic                                  s_axil_awvalid,
  output logic                                  s_axil_awready,
  input  logic [31:0]                           s_axil_wdata,
  input  logic [3:0]                            s_axil_wstrb,
  input  logic                                  s_axil_wvalid,
  output logic                                  s_axil_wready,
  output logic [1:0]                            s_axil_bresp,
  output logic                                  s_axil_bvalid,
  input  logic                                  s_axil_bready,
  input  logic [cosyn_control_pkg::AddressBits-1:0] s_axil_araddr,
  input  logic                                  s_axil_arvalid,
  output logic                                  s_axil_arready,
  output logic [31:0]                           s_axil_rdata,
  output logic [1:0]                            s_axil_rresp,
  output logic                                  s_axil_rvalid,
  input  logic                                  s_axil_rready,
  output logic                                  interrupt_o,
  // cores
  output logic                                  core_rst_o,
  output logic                                  start_o,
  output logic                                  halt_o,
  output logic [cosyn_pkg::Cores*40-1:0]        base_o,
  output logic [cosyn_pkg::Registers*32-1:0]    registers_o,
  input  logic [cosyn_pkg::Cores-1:0]           finished_i,
  input  logic [cosyn_pkg::Cores-1:0]           quiet_i,
  input  logic [cosyn_pkg::Cores*26*32-1:0]     counters_i,
  input  logic [cosyn_pkg::Cores*32-1:0]        fetched_i,
  input  logic [cosyn_pkg::Cores*32-1:0]        state_i,
  input  logic [cosyn_pkg::Cores-1:0]           error_i,
  input  logic [cosyn_pkg::Cores*8-1:0]         error_code_i,
  input  logic [cosyn_pkg::Cores*4-1:0]         error_class_i,
  input  logic [cosyn_pkg::Cores*32-1:0]        error_detail_i,
  input  logic                                  x_error_i,
  input  logic [7:0]                            x_error_code_i,
  input  logic [7:0]                            x_error_core_i,
  input  logic [31:0]                           x_error_detail_i
);
  localparam int Cores = cosyn_pkg::Cores;
  localparam int AddressBits = cosyn_control_pkg::AddressBits;
  localparam int Counters = 26;
  localparam logic [1:0] Okay = 2'b00;
  localparam logic [1:0] SlaveError = 2'b10;
  localparam int ResetCycles = 4;

  localparam logic [2:0] Idle = 3'd0;
  localparam logic [2:0] Clear = 3'd1;    // resets the cores before a program
  localparam logic [2:0] Run = 3'd2;
  localparam logic [2:0] Errored = 3'd3;  // halted; busy until the AXI ports are quiet
  localparam logic [2:0] Drain = 3'd4;    // soft reset: waits for the AXI ports
  localparam logic [2:0] Reset = 3'd5;

  logic [2:0]  state_q;
  logic [2:0]  count_q;
  logic [31:0] patience_q;
  logic        quiet, gave_up, busy, settled_q, done_q, error_q, abandoned_q, enable_q;
  logic [7:0]  code_q, core_q;
  logic [3:0]  class_q;
  logic [31:0] detail_q;
  logic [63:0] cycles_q;
  logic        start_write, reset_write, clear_done, clear_abandoned;

  assign quiet   = quiet_i == '1;
  assign gave_up = patience_q == cosyn_pkg::WatchdogCycles;
  assign busy    = state_q == Clear || state_q == Run || (state_q == Errored && !settled_q);

  // -- the first error --------------------------------------------------------------------------------------------------
  logic        any_error;
  logic [7:0]  first_code, first_core;
  logic [3:0]  first_class;
  logic [31:0] first_detail;
  always_comb begin
    any_error    = error_i != '0 || x_error_i;
    first_code   = x_error_code_i;
    first_core   = x_error_core_i;
    first_class  = cosyn_pkg::OpSys;
    first_detail = x_error_detail_i;
    for (int c = Cores - 1; c >= 0; c--) begin
      if (error_i[c]) begin
        first_code   = error_code_i[c*8 +: 8];
        first_core   = 8'(c);
        first_class  = error_class_i[c*4 +: 4];
        first_detail = error_detail_i[c*32 +: 32];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q     <= Reset;
      count_q     <= '0;
      patience_q  <= '0;
      settled_q   <= 1'b0;
      done_q      <= 1'b0;
      error_q     <= 1'b0;
      abandoned_q <= 1'b0;
      code_q      <= cosyn_control_pkg::ErrorNone;
      core_q      <= '0;
      class_q     <= '0;
      detail_q    <= '0;
      start_o     <= 1'b0;
      cycles_q    <= '0;
    end else begin
      start_o <= 1'b0;
      if (clear_done) done_q <= 1'b0;
      if (clear_abandoned) abandoned_q <= 1'b0;
      case (state_q)
        Idle: begin
          count_q <= '0;
          if (reset_write) begin
            state_q    <= Drain;
            patience_q <= '0;
          end else if (start_write && !error_q) begin
            state_q <= Clear;
            done_q  <= 1'b0;
          end
        end
        Clear: begin
          count_q  <= count_q + 1'b1;
          cycles_q <= '0;
          if (32'(count_q) == ResetCycles) begin
            state_q <= Run;
            start_o <= 1'b1;
          end
        end
        Run: begin
          if (finished_i != '1) cycles_q <= cycles_q + 1'b1;
          else if (quiet) begin
            state_q <= Idle;
            done_q  <= 1'b1;
          end
          if (reset_write) begin
            state_q    <= Drain;
            patience_q <= '0;
          end
        end
        Errored: begin
          patience_q <= patience_q + 1'b1;
          if (quiet || gave_up) settled_q <= 1'b1;
          if (reset_write) begin
            state_q    <= Drain;
            patience_q <= '0;
          end
        end
        Drain: begin
          patience_q <= patience_q + 1'b1;
          count_q    <= '0;
          if ((quiet && patience_q > 32'd3) || gave_up) begin
            state_q     <= Reset;
            abandoned_q <= !quiet;
          end
        end
        default: begin
          count_q   <= count_q + 1'b1;
          error_q   <= 1'b0;
          settled_q <= 1'b0;
          done_q    <= 1'b0;
          code_q    <= cosyn_control_pkg::ErrorNone;
          core_q    <= '0;
          class_q   <= '0;
          detail_q  <= '0;
          if (32'(count_q) == ResetCycles) state_q <= Idle;
        end
      endcase
      if (any_error && !error_q && state_q == Run) begin
        error_q    <= 1'b1;
        state_q    <= Errored;
        patience_q <= '0;
        settled_q  <= 1'b0;
        done_q     <= 1'b0;
        code_q     <= first_code;
        core_q     <= first_core;
        class_q    <= first_class;
        detail_q   <= first_detail;
      end
    end
    // one cycle earlier than start_o
    core_rst_o  <= rst_i || state_q == Reset || (state_q == Clear && 32'(count_q) != ResetCycles);
    halt_o      <= !rst_i && (state_q == Errored || state_q == Drain || (state_q == Run && any_error));
    interrupt_o <= !rst_i && enable_q && (done_q || error_q);
  end

  // byte addresses within a word are ignored
  logic unused_address;
  assign unused_address = &{s_axil_awaddr[1:0], s_axil_araddr[1:0]};

  // -- writes ------------------------------------------------------------------------------------------------------------
  logic                   write, write_ok;
  logic [AddressBits-1:0] write_address;
  logic [3:0]             write_block;
  assign s_axil_awready = s_axil_awvalid && s_axil_wvalid && (!s_axil_bvalid || s_axil_bready);
  assign s_axil_wready  = s_axil_awready;
  assign write          = s_axil_awready;
  assign write_address  = {s_axil_awaddr[AddressBits-1:2], 2'b00};
  assign write_block    = write_address[11:8];

  logic at_control, at_status, at_register, at_base_low, at_base_high;
  logic [31:0] write_core;
  assign write_core   = 32'(write_block) - cosyn_control_pkg::CoreBase / cosyn_control_pkg::CoreStride;
  assign at_control   = write_address == cosyn_control_pkg::AddrControl;
  assign at_status    = write_address == cosyn_control_pkg::AddrStatus;
  assign at_register  = 32'(write_address) > cosyn_control_pkg::RegisterBase
      && 32'(write_address) < cosyn_control_pkg::RegisterBase + 4 * cosyn_pkg::Registers;
  assign at_base_low  = write_core < Cores && write_address[7:0] == cosyn_control_pkg::CoreProgramBaseLow;
  assign at_base_high = write_core < Cores && write_address[7:0] == cosyn_control_pkg::CoreProgramBaseHigh;
  assign write_ok     = s_axil_wstrb == '1 && (at_control || at_status || at_register || at_base_low || at_base_high);

  assign start_write     = write && write_ok && at_control && s_axil_wdata[cosyn_control_pkg::ControlStartLow];
  assign reset_write     = write && write_ok && at_control && s_axil_wdata[cosyn_control_pkg::ControlSoftResetLow];
  assign clear_done      = write && write_ok && at_status && s_axil_wdata[cosyn_control_pkg::StatusDoneLow];
  assign clear_abandoned = write && write_ok && at_status && s_axil_wdata[cosyn_control_pkg::StatusAbandonedLow];

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      s_axil_bvalid <= 1'b0;
      enable_q      <= 1'b0;
      registers_o   <= '0;
      base_o        <= '0;
    end else begin
      if (write) s_axil_bvalid <= 1'b1;
      else if (s_axil_bready) s_axil_bvalid <= 1'b0;
      if (write && write_ok) begin
        if (at_control) enable_q <= s_axil_wdata[cosyn_control_pkg::ControlInterruptEnableLow];
        if (at_register) registers_o[((32'(write_address) - cosyn_control_pkg::RegisterBase) >> 2)*32 +: 32] <= s_axil_wdata;
        for (int c = 0; c < Cores; c++) begin
          if (write_core == 32'(c) && at_base_low) base_o[c*40 +: 32] <= s_axil_wdata;
          if (write_core == 32'(c) && at_base_high) base_o[c*40+32 +: 8] <= s_axil_wdata[7:0];
        end
      end
    end
    if (write) s_axil_bresp <= write_ok ? Okay : SlaveError;
  end

  // -- reads ---------------------------------------------------------------------------------------------------------------
  logic                   read_q;
  logic [AddressBits-1:0] address_q;
  logic [31:0]            read_core, value, counter;
  logic                   known;
  assign s_axil_arready = !read_q && (!s_axil_rvalid || s_axil_rready);
  assign read_core      = 32'(address_q[11:8]) - cosyn_control_pkg::CoreBase / cosyn_control_pkg::CoreStride;
  assign counter        = (32'(address_q[7:0]) - 32'(cosyn_control_pkg::CoreRetired)) >> 2;

  // a core's register: chosen in two steps, so that no index needs a multiplier
  logic [Counters*32-1:0] core_counters;
  logic [39:0]            core_base;
  logic [31:0]            core_state, core_fetched, core_value;
  always_comb begin
    core_counters = '0;
    core_base     = '0;
    core_state    = '0;
    core_fetched  = '0;
    for (int c = 0; c < Cores; c++) begin
      if (read_core == 32'(c)) begin
        core_counters = counters_i[c*Counters*32 +: Counters*32];
        core_base     = base_o[c*40 +: 40];
        core_state    = state_i[c*32 +: 32];
        core_fetched  = fetched_i[c*32 +: 32];
      end
    end
    core_value = '0;
    for (int i = 0; i < Counters; i++) if (counter == 32'(i)) core_value = core_counters[i*32 +: 32];
    case (address_q[7:0])
      cosyn_control_pkg::CoreProgramBaseLow: core_value = core_base[31:0];
      cosyn_control_pkg::CoreProgramBaseHigh: core_value = 32'(core_base[39:32]);
      cosyn_control_pkg::CoreState: core_value = core_state;
      cosyn_control_pkg::CoreFetched: core_value = core_fetched;
      default: ;
    endcase
  end

  always_comb begin
    known = 1'b1;
    value = '0;
    if (read_core < Cores) begin
      known = address_q[7:0] < cosyn_control_pkg::CoreRetired || counter < Counters;
      value = core_value;
    end else if (32'(address_q) >= cosyn_control_pkg::RegisterBase
        && 32'(address_q) < cosyn_control_pkg::RegisterBase + 4 * cosyn_pkg::Registers) begin
      value = registers_o[((32'(address_q) - cosyn_control_pkg::RegisterBase) >> 2)*32 +: 32];
    end else begin
      case (address_q)
        cosyn_control_pkg::AddrId: value = cosyn_control_pkg::Identity;
        cosyn_control_pkg::AddrConfigHashLow: value = cosyn_pkg::ConfigHash[31:0];
        cosyn_control_pkg::AddrConfigHashHigh: value = cosyn_pkg::ConfigHash[63:32];
        cosyn_control_pkg::AddrCores: value = Cores;
        cosyn_control_pkg::AddrControl: begin
          value[cosyn_control_pkg::ControlInterruptEnableLow] = enable_q;
          value[cosyn_control_pkg::ControlSoftResetLow]       = state_q == Drain || state_q == Reset;
        end
        cosyn_control_pkg::AddrStatus: begin
          value[cosyn_control_pkg::StatusBusyLow]      = busy;
          value[cosyn_control_pkg::StatusDoneLow]      = done_q;
          value[cosyn_control_pkg::StatusErrorLow]     = error_q;
          value[cosyn_control_pkg::StatusAbandonedLow] = abandoned_q;
        end
        cosyn_control_pkg::AddrError: begin
          value[cosyn_control_pkg::ErrorCodeLow +: cosyn_control_pkg::ErrorCodeBits]   = code_q;
          value[cosyn_control_pkg::ErrorCoreLow +: cosyn_control_pkg::ErrorCoreBits]   = core_q;
          value[cosyn_control_pkg::ErrorClassLow +: cosyn_control_pkg::ErrorClassBits] = class_q;
        end
        cosyn_control_pkg::AddrErrorDetail: value = detail_q;
        cosyn_control_pkg::AddrCyclesLow: value = cycles_q[31:0];
        cosyn_control_pkg::AddrCyclesHigh: value = cycles_q[63:32];
        default: known = 1'b0;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      read_q        <= 1'b0;
      s_axil_rvalid <= 1'b0;
    end else begin
      read_q <= s_axil_arvalid && s_axil_arready;
      if (read_q) s_axil_rvalid <= 1'b1;
      else if (s_axil_rready) s_axil_rvalid <= 1'b0;
    end
    if (s_axil_arvalid && s_axil_arready) address_q <= {s_axil_araddr[AddressBits-1:2], 2'b00};
    if (read_q) begin
      s_axil_rdata <= value;
      s_axil_rresp <= known ? Okay : SlaveError;
    end
  end

`ifndef SYNTHESIS
  logic        held_q, write_held_q;
  logic [31:0] held_data_q;
  always_ff @(posedge clk_i) begin
    held_q       <= !rst_i && s_axil_rvalid && !s_axil_rready;
    held_data_q  <= s_axil_rdata;
    write_held_q <= !rst_i && s_axil_bvalid && !s_axil_bready;
    if (!rst_i) begin
      if (held_q) assert (s_axil_rvalid && s_axil_rdata === held_data_q) else $error("%m: R changed before it was accepted");
      if (write_held_q) assert (s_axil_bvalid) else $error("%m: B was taken back");
    end
  end
`endif
endmodule
