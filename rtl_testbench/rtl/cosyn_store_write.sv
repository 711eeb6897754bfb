// SPDX-License-Identifier: Apache-2.0
// Stripe writes of the store unit on their way to memory: the digest over them, the bursts that they make, and a write
// channel for each part of the stripe, all in lockstep. A stripe write taken in cycle t reaches the channels in t + 1.
module cosyn_store_write (
  input  logic                                          clk_i,
  input  logic                                          rst_i,
  input  logic                                          halt_i,
  // stripe writes, only while room_o
  output logic                                          room_o,
  input  logic                                          beat_i,
  input  logic                                          last_i,         // ends its burst
  input  logic [31:0]                                   stripe_i,
  input  logic [cosyn_pkg::StripeBytes*8-1:0]           data_i,
  input  logic [cosyn_pkg::StripeBytes-1:0]             strobe_i,
  // digest, of the stripe writes since clear_i
  input  logic                                          clear_i,
  output logic [31:0]                                   digest_o,
  output logic                                          pending_o,      // a stripe write is not counted yet
  output logic                                          burst_end_o,    // the channels take the last of a burst
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
  output logic [cosyn_pkg::ChannelsPerCore-1:0]         error_o         // a response was not OKAY
);
  localparam int Channels = cosyn_pkg::ChannelsPerCore;
  localparam int Stripe = cosyn_pkg::StripeBytes;
  localparam int ByteShift = $clog2(cosyn_pkg::ChannelBytes);

  logic                beat_q, last_q;
  logic [31:0]         stripe_q;
  logic [Stripe*8-1:0] data_q;
  logic [Stripe-1:0]   strobe_q;

  always_ff @(posedge clk_i) begin
    beat_q   <= !rst_i && beat_i;
    last_q   <= last_i;
    stripe_q <= stripe_i;
    data_q   <= data_i;
    strobe_q <= strobe_i;
  end
  assign pending_o   = beat_q;
  assign burst_end_o = beat_q && last_q;

  // -- digest and burst boundaries ------------------------------------------------------------------------------------
  logic [Stripe*8-1:0] masked;
  logic [31:0]         fold, digest_q, burst_first_q, burst_first;
  logic [8:0]          burst_count_q;
  always_comb begin
    for (int i = 0; i < Stripe; i++) masked[i*8 +: 8] = strobe_q[i] ? data_q[i*8 +: 8] : 8'd0;
  end
  cosyn_fold #(.Words(Stripe / 4)) u_fold (.data_i(masked), .fold_o(fold));
  assign burst_first = burst_count_q == '0 ? stripe_q : burst_first_q;
  assign digest_o    = digest_q;

  always_ff @(posedge clk_i) begin
    if (clear_i) digest_q <= '0;
    else if (beat_q) digest_q <= {digest_q[30:0], digest_q[31]} ^ fold ^ stripe_q;
    if (rst_i) burst_count_q <= '0;
    else if (beat_q) burst_count_q <= last_q ? '0 : burst_count_q + 1'b1;
    if (beat_q) burst_first_q <= burst_first;
  end

  // -- channels -------------------------------------------------------------------------------------------------------
  logic [Channels-1:0] channel_room, channel_idle;
  assign room_o = channel_room == '1;
  assign idle_o = channel_idle == '1;

  for (genvar c = 0; c < Channels; c++) begin : gen_channel
    cosyn_axi_write u_write (
      .clk_i, .rst_i, .halt_i,
      .room_o(channel_room[c]),
      .data_valid_i(beat_q),
      .data_i(data_q[c*cosyn_pkg::ChannelBytes*8 +: cosyn_pkg::ChannelBytes*8]),
      .strobe_i(strobe_q[c*cosyn_pkg::ChannelBytes +: cosyn_pkg::ChannelBytes]),
      .last_i(last_q),
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
      .error_o(error_o[c])
    );
  end
endmodule
