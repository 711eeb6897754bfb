// SPDX-License-Identifier: Apache-2.0
// LD: the core's channels read in lockstep, one stripe a cycle, over instruction boundaries without a gap. Requests run
// ahead of the data by what the channels can hold; the data side follows a queue of descriptors and routes each stripe
// to a ring or, through a FIFO that lets weights stream on, line by line to the vector buffer. Instructions retire in
// order when their last stripe is where it belongs. Requests leave five cycles after the accept; see load/README.md.
module cosyn_load #(
  parameter int InFlight = 16
) (
  input  logic                                        clk_i,
  input  logic                                        rst_i,
  input  logic                                        halt_i,
  input  logic [cosyn_pkg::Registers*32-1:0]          registers_i,
  // instructions
  input  logic                                        ld_valid_i,
  output logic                                        ld_ready_o,
  input  logic [cosyn_pkg::InstructionBits-1:0]       ld_inst_i,
  output logic                                        ld_done_o,
  output logic [31:0]                                 ld_digest_o,
  // AXI4 read channels, index = channel
  output logic [cosyn_pkg::ChannelsPerCore*40-1:0]    araddr_o,
  output logic [cosyn_pkg::ChannelsPerCore*8-1:0]     arlen_o,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]       arvalid_o,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]       arready_i,
  input  logic [cosyn_pkg::StripeBytes*8-1:0]         rdata_i,
  input  logic [cosyn_pkg::ChannelsPerCore*2-1:0]     rresp_i,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]       rlast_i,
  input  logic [cosyn_pkg::ChannelsPerCore-1:0]       rvalid_i,
  output logic [cosyn_pkg::ChannelsPerCore-1:0]       rready_o,
  // rings
  output logic                                        ring_valid_o,
  input  logic [1:0]                                  ring_ready_i,   // per ring
  output logic                                        ring_select_o,
  output logic [cosyn_pkg::StripeBytes*8-1:0]         ring_data_o,
  // vector buffer write
  output logic                                        vw_req_o,
  output logic [cosyn_pkg::VectorAddressBits-1:0]     vw_addr_o,
  output logic [cosyn_pkg::LineBytes*8-1:0]           vw_data_o,
  input  logic                                        vw_gnt_i,
  // state
  output logic                                        ring_full_o,    // a stripe waits for its ring
  output logic                                        idle_o,         // no read is open on the bus
  output logic                                        error_o,
  output logic [7:0]                                  error_code_o,
  output logic [31:0]                                 error_detail_o
);
  localparam int Channels = cosyn_pkg::ChannelsPerCore;
  localparam int StripeBits = cosyn_pkg::StripeBytes * 8;
  localparam int LineBits = cosyn_pkg::LineBytes * 8;
  localparam int ByteShift = $clog2(cosyn_pkg::ChannelBytes);
  localparam int BurstShift = $clog2(cosyn_pkg::BurstBeats);
  localparam int LineIndexBits = cosyn_pkg::StripeLines > 1 ? $clog2(cosyn_pkg::StripeLines) : 1;
  localparam int FlightBits = $clog2(InFlight + 1);
  localparam int VectorRoom = 24;   // bits of a line number on its way to the range check

  // -- stage M: fields, registers, effective length --------------------------------------------------------------------
  logic [cosyn_pkg::LdTargetBits-1:0]       target;
  logic [cosyn_pkg::LdAddressRegBits-1:0]   address_reg;
  logic [cosyn_pkg::LdLengthRegBits-1:0]    length_reg;
  logic [cosyn_pkg::BankRegisters*32-1:0]   registers;    // of the instruction's bank
  logic [31:0]                              address_add, length_factor;

  assign target        = ld_inst_i[cosyn_pkg::LdTargetLow +: cosyn_pkg::LdTargetBits];
  assign address_reg   = ld_inst_i[cosyn_pkg::LdAddressRegLow +: cosyn_pkg::LdAddressRegBits];
  assign length_reg    = ld_inst_i[cosyn_pkg::LdLengthRegLow +: cosyn_pkg::LdLengthRegBits];
  assign registers     = registers_i[
      ld_inst_i[cosyn_pkg::LdBankLow +: cosyn_pkg::LdBankBits]*cosyn_pkg::BankRegisters*32
      +: cosyn_pkg::BankRegisters*32];
  assign address_add   = address_reg == '0 ? '0 : registers[address_reg*32 +: 32];
  assign length_factor = length_reg == '0 ? 32'd1 : registers[length_reg*32 +: 32];

  logic        m_valid_q, m_factor_bad_q;
  logic [1:0]  m_target_q;
  logic [31:0] m_address_q, m_stride_q, m_checksum_q;
  logic [39:0] m_length_q;
  logic [15:0] m_rows_q;
  logic [19:0] m_line_q, m_line_stride_q;
  logic        m_checked_q, m_take;

  assign ld_ready_o = !m_valid_q || m_take;

  always_ff @(posedge clk_i) begin
    if (rst_i) m_valid_q <= 1'b0;
    else if (ld_ready_o) m_valid_q <= ld_valid_i;
    if (ld_valid_i && ld_ready_o) begin
      m_target_q      <= target;
      m_address_q     <= ld_inst_i[cosyn_pkg::LdAddressLow +: cosyn_pkg::LdAddressBits] + address_add;
      m_length_q      <= 40'(ld_inst_i[cosyn_pkg::LdLengthLow +: cosyn_pkg::LdLengthBits]) * 40'(length_factor[15:0]);
      m_factor_bad_q  <= length_factor[31:16] != '0;
      m_rows_q        <= ld_inst_i[cosyn_pkg::LdRowsLow +: cosyn_pkg::LdRowsBits];
      m_stride_q      <= ld_inst_i[cosyn_pkg::LdRowStrideLow +: cosyn_pkg::LdRowStrideBits];
      m_line_q        <= ld_inst_i[cosyn_pkg::LdVectorLineLow +: cosyn_pkg::LdVectorLineBits];
      m_line_stride_q <= ld_inst_i[cosyn_pkg::LdVectorStrideLow +: cosyn_pkg::LdVectorStrideBits];
      m_checked_q     <= ld_inst_i[cosyn_pkg::LdCheckedLow];
      m_checksum_q    <= ld_inst_i[cosyn_pkg::LdChecksumLow +: cosyn_pkg::LdChecksumBits];
    end
  end

  // -- stage G: bursts, cut where an address is a multiple of BurstBeats stripes ---------------------------------------
  logic        g_valid_q, g_last, g_finish, g_step, descriptor_ready, length_bad, m_empty;
  logic [31:0] g_address_q, g_base_q, g_stride_q;
  logic [23:0] g_left_q, g_length_q;
  logic [15:0] g_rows_q;      // rows after this one
  logic [8:0]  g_beats, g_to_boundary;
  logic [Channels-1:0] request_ready;

  assign length_bad = m_valid_q && (m_factor_bad_q || m_length_q[39:24] != '0);
  assign m_empty    = m_length_q == '0 || m_rows_q == '0;

  if (BurstShift == 0) begin : gen_single
    assign g_to_boundary = 9'd1;
  end else begin : gen_burst
    assign g_to_boundary = 9'(cosyn_pkg::BurstBeats) - 9'(g_address_q[BurstShift-1:0]);
  end
  assign g_beats  = 32'(g_left_q) < 32'(g_to_boundary) ? g_left_q[8:0] : g_to_boundary;
  assign g_last   = 32'(g_left_q) == 32'(g_beats);
  assign g_step   = g_valid_q && request_ready == '1;
  assign g_finish = g_step && g_last && g_rows_q == '0;
  assign m_take   = m_valid_q && !length_bad && descriptor_ready && (!g_valid_q || g_finish);

  always_ff @(posedge clk_i) begin
    if (rst_i) g_valid_q <= 1'b0;
    else if (m_take) g_valid_q <= !m_empty;
    else if (g_finish) g_valid_q <= 1'b0;
    if (m_take) begin
      g_address_q <= m_address_q;
      g_base_q    <= m_address_q + m_stride_q;
      g_stride_q  <= m_stride_q;
      g_left_q    <= m_length_q[23:0];
      g_length_q  <= m_length_q[23:0];
      g_rows_q    <= m_rows_q - 1'b1;
    end else if (g_step && g_last) begin
      g_address_q <= g_base_q;
      g_base_q    <= g_base_q + g_stride_q;
      g_left_q    <= g_length_q;
      g_rows_q    <= g_rows_q - 1'b1;
    end else if (g_step) begin
      g_address_q <= g_address_q + 32'(g_beats);
      g_left_q    <= g_left_q - 24'(g_beats);
    end
  end

  // -- channels ----------------------------------------------------------------------------------------------------------
  logic [Channels-1:0]   beat_valid, channel_idle, channel_error;
  logic [StripeBits-1:0] stripe;
  logic                  stripe_take;

  for (genvar c = 0; c < Channels; c++) begin : gen_channel
    cosyn_axi_read u_read (
      .clk_i, .rst_i, .halt_i,
      .req_valid_i(g_step),
      .req_ready_o(request_ready[c]),
      .req_addr_i(40'({8'd0, g_address_q} << ByteShift)),
      .req_beats_i(g_beats),
      .araddr_o(araddr_o[c*40 +: 40]),
      .arlen_o(arlen_o[c*8 +: 8]),
      .arvalid_o(arvalid_o[c]),
      .arready_i(arready_i[c]),
      .rdata_i(rdata_i[c*cosyn_pkg::ChannelBytes*8 +: cosyn_pkg::ChannelBytes*8]),
      .rresp_i(rresp_i[c*2 +: 2]),
      .rlast_i(rlast_i[c]),
      .rvalid_i(rvalid_i[c]),
      .rready_o(rready_o[c]),
      .valid_o(beat_valid[c]),
      .ready_i(stripe_take),
      .data_o(stripe[c*cosyn_pkg::ChannelBytes*8 +: cosyn_pkg::ChannelBytes*8]),
      .idle_o(channel_idle[c]),
      .error_o(channel_error[c])
    );
  end

  // -- descriptors of the data side ---------------------------------------------------------------------------------------
  localparam int DescriptorBits = 2 + 24 + 16 + 20 + 20 + 1 + 32;
  logic        d_valid, d_pop, d_checked;
  logic [1:0]  d_target;
  logic [23:0] d_length;
  logic [15:0] d_rows;
  logic [19:0] d_line, d_line_stride;
  logic [31:0] d_checksum;
  logic [FlightBits-1:0] unused_descriptors;

  cosyn_fifo #(.Width(DescriptorBits), .Depth(InFlight)) u_descriptors (
    .clk_i, .rst_i,
    .valid_i(m_take), .ready_o(descriptor_ready),
    .data_i({m_target_q, m_length_q[23:0], m_rows_q, m_line_q, m_line_stride_q, m_checked_q, m_checksum_q}),
    .valid_o(d_valid), .ready_i(d_pop),
    .data_o({d_target, d_length, d_rows, d_line, d_line_stride, d_checked, d_checksum}),
    .count_o(unused_descriptors)
  );

  // -- stage S: one stripe, its destination, and the running checksum -----------------------------------------------------
  logic                  d_empty, d_run_last, d_last, d_first_q, s_ready, s_fire, advance;
  logic [23:0]           d_index_q;
  logic [15:0]           d_row_q;
  logic [VectorRoom-1:0] d_row_line_q, d_next_line_q, d_row_line, d_next_line;
  logic                  s_valid_q, s_none_q, s_first_q, s_last_q, s_checked_q;
  logic [1:0]            s_target_q;
  logic [VectorRoom-1:0] s_line_q;
  logic [31:0]           s_checksum_q;
  logic [StripeBits-1:0] s_data_q;

  assign d_empty    = d_length == '0 || d_rows == '0;
  assign d_run_last = d_index_q == d_length - 24'd1;
  assign d_last     = d_empty || (d_run_last && d_row_q == d_rows - 16'd1);
  assign advance    = d_valid && s_ready && !halt_i && (d_empty || beat_valid == '1);
  assign stripe_take = advance && !d_empty;
  assign d_pop      = advance && d_last;
  assign s_ready    = !s_valid_q || s_fire;

  // the lines of this row and of this stripe: taken from the descriptor at its first stripe
  assign d_row_line  = d_first_q ? VectorRoom'(d_line) : d_row_line_q;
  assign d_next_line = d_first_q ? VectorRoom'(d_line) : d_next_line_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      d_first_q <= 1'b1;
      d_index_q <= '0;
      d_row_q   <= '0;
      s_valid_q <= 1'b0;
    end else begin
      if (s_ready) s_valid_q <= advance;
      if (advance) begin
        d_first_q <= d_last;
        d_index_q <= d_last || d_run_last ? '0 : d_index_q + 1'b1;
        d_row_q   <= d_last ? '0 : d_run_last ? d_row_q + 1'b1 : d_row_q;
      end
    end
    if (advance) begin
      d_row_line_q  <= d_run_last ? d_row_line + VectorRoom'(d_line_stride) : d_row_line;
      d_next_line_q <= d_run_last ? d_row_line + VectorRoom'(d_line_stride)
                                  : d_next_line + VectorRoom'(cosyn_pkg::StripeLines);
      s_none_q      <= d_empty;
      s_first_q     <= d_first_q;
      s_last_q      <= d_last;
      s_checked_q   <= d_checked;
      s_target_q    <= d_target;
      s_line_q      <= d_next_line;
      s_checksum_q  <= d_checksum;
      if (!d_empty) s_data_q <= stripe;
    end
  end

  logic parameter_ready, s_vector, s_ring;
  assign s_vector      = s_target_q == cosyn_pkg::LoadTargetVector;
  assign s_ring        = s_valid_q && !s_none_q && !s_vector && !halt_i;
  assign ring_valid_o  = s_ring;
  assign ring_select_o = s_target_q == cosyn_pkg::LoadTargetKv;
  assign ring_data_o   = s_data_q;
  assign ring_full_o   = s_ring && !ring_ready_i[ring_select_o];
  assign s_fire        = s_valid_q && !halt_i
      && (s_none_q || (s_vector ? parameter_ready : ring_ready_i[ring_select_o]));

  logic [31:0] fold, digest_q, digest_base, digest_next;
  cosyn_fold #(.Words(StripeBits / 32)) u_fold (.data_i(s_data_q), .fold_o(fold));
  assign digest_base = s_first_q ? '0 : digest_q;
  assign digest_next = s_none_q ? digest_base : {digest_base[30:0], digest_base[31]} ^ fold;

  logic        c_valid_q, c_vector_q, c_checked_q, c_mismatch;
  logic [31:0] c_checksum_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) c_valid_q <= 1'b0;
    else c_valid_q <= s_fire && s_last_q;
    if (s_fire) begin
      digest_q     <= digest_next;
      c_vector_q   <= s_vector && !s_none_q;
      c_checked_q  <= s_checked_q;
      c_checksum_q <= s_checksum_q;
    end
  end
  assign c_mismatch = c_valid_q && c_checked_q && digest_q != c_checksum_q;

  // -- parameters: stripes wait here and go to the vector buffer a line a cycle --------------------------------------------
  localparam int ParameterBits = 1 + VectorRoom + StripeBits;
  logic                     p_valid, p_pop, p_last, p_bad;
  logic [VectorRoom-1:0]    p_line, p_address;
  logic [StripeBits-1:0]    p_data;
  logic [LineIndexBits-1:0] p_index_q;
  logic [$clog2(cosyn_pkg::ParameterFifoStripes+2)-1:0] unused_parameters;

  cosyn_fifo_ram #(.Width(ParameterBits), .Depth(cosyn_pkg::ParameterFifoStripes)) u_parameters (
    .clk_i, .rst_i,
    .valid_i(s_valid_q && !s_none_q && s_vector && !halt_i), .ready_o(parameter_ready),
    .data_i({s_last_q, s_line_q, s_data_q}),
    .valid_o(p_valid), .ready_i(p_pop), .data_o({p_last, p_line, p_data}),
    .count_o(unused_parameters)
  );

  assign p_address = p_line + VectorRoom'(p_index_q);
  assign p_bad     = p_valid && 32'(p_address) >= cosyn_pkg::VectorLines;
  assign vw_req_o  = p_valid && !p_bad;
  assign vw_addr_o = p_address[cosyn_pkg::VectorAddressBits-1:0];
  assign vw_data_o = p_data[32'(p_index_q)*LineBits +: LineBits];
  assign p_pop     = vw_req_o && vw_gnt_i && 32'(p_index_q) == cosyn_pkg::StripeLines - 1;

  always_ff @(posedge clk_i) begin
    if (rst_i) p_index_q <= '0;
    else if (p_pop) p_index_q <= '0;
    else if (vw_req_o && vw_gnt_i) p_index_q <= p_index_q + 1'b1;
  end

  // -- retirement in order ---------------------------------------------------------------------------------------------------
  logic                  r_valid, r_vector, completion_ready;
  logic [FlightBits-1:0] written_q;     // vector instructions whose last line is written, not yet retired
  logic                  written_up, written_down;
  logic [FlightBits-1:0] unused_completions;

  cosyn_fifo #(.Width(33), .Depth(InFlight)) u_completions (
    .clk_i, .rst_i,
    .valid_i(c_valid_q && !c_mismatch), .ready_o(completion_ready), .data_i({c_vector_q, digest_q}),
    .valid_o(r_valid), .ready_i(ld_done_o), .data_o({r_vector, ld_digest_o}),
    .count_o(unused_completions)
  );
  assign ld_done_o    = r_valid && !halt_i && (!r_vector || written_q != '0);
  assign written_up   = p_pop && p_last;
  assign written_down = ld_done_o && r_vector;

  always_ff @(posedge clk_i) begin
    if (rst_i) written_q <= '0;
    else if (written_up && !written_down) written_q <= written_q + 1'b1;
    else if (written_down && !written_up) written_q <= written_q - 1'b1;
  end

  assign idle_o = channel_idle == '1;

  // -- errors ------------------------------------------------------------------------------------------------------------------
  logic [31:0] bad_channel;
  always_comb begin
    bad_channel = '0;
    for (int c = Channels - 1; c >= 0; c--) if (channel_error[c]) bad_channel = 32'(c);
  end

  always_ff @(posedge clk_i) begin
    error_o <= !rst_i && (channel_error != '0 || c_mismatch || p_bad || length_bad);
    if (channel_error != '0) begin
      error_code_o   <= cosyn_control_pkg::ErrorAxiRead;
      error_detail_o <= bad_channel;
    end else if (c_mismatch) begin
      error_code_o   <= cosyn_control_pkg::ErrorChecksum;
      error_detail_o <= digest_q;
    end else begin
      error_code_o   <= cosyn_control_pkg::ErrorAddressRange;
      error_detail_o <= p_bad ? 32'(p_address) : m_length_q[31:0];
    end
  end

`ifndef SYNTHESIS
  logic                  held_q, held_select_q;
  logic [StripeBits-1:0] held_data_q;
  always_ff @(posedge clk_i) begin
    held_q        <= !rst_i && ring_valid_o && !ring_ready_i[ring_select_o];
    held_data_q   <= ring_data_o;
    held_select_q <= ring_select_o;
    if (!rst_i) begin
      if (held_q && !halt_i) assert (ring_valid_o && ring_select_o == held_select_q && ring_data_o === held_data_q)
        else $error("%m: the ring write changed before it was accepted");
      assert (!c_valid_q || completion_ready) else $error("%m: more instructions in flight than promised");
    end
  end
`endif
endmodule
