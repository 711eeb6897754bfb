// SPDX-License-Identifier: Apache-2.0
// The vector buffer: lines of `Lanes` f32 with a write enable per lane, one write and two reads per cycle (two copies
// of the memory). Read port 0 belongs to the special-function unit; port 1 and the write port go to the first
// requester of the cycle (reads: exchange, drain, store; writes: exchange, special functions, drain, load). A grant is
// given in the cycle of the request, data come two cycles later; a write is seen by reads from two cycles later on.
module cosyn_vector_buffer (
    input  logic                                       clk_i,
    input  logic                                       rst_i,
    input  logic                                       r0_en_i,
    input  logic [   cosyn_pkg::VectorAddressBits-1:0] r0_addr_i,
    output logic [         cosyn_pkg::LineBytes*8-1:0] r0_data_o,
    input  logic [                                2:0] rd_req_i,
    input  logic [ 3*cosyn_pkg::VectorAddressBits-1:0] rd_addr_i,
    output logic [                                2:0] rd_gnt_o,
    output logic [                                2:0] rd_valid_o,
    output logic [         cosyn_pkg::LineBytes*8-1:0] rd_data_o,
    input  logic [                                3:0] wr_req_i,
    input  logic [ 4*cosyn_pkg::VectorAddressBits-1:0] wr_addr_i,
    input  logic [       4*cosyn_pkg::LineBytes*8-1:0] wr_data_i,
    input  logic [             4*cosyn_pkg::Lanes-1:0] wr_mask_i,
    output logic [                                3:0] wr_gnt_o
);
  localparam int AddressBits = cosyn_pkg::VectorAddressBits;
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int LineBits = cosyn_pkg::LineBytes * 8;
  // An UltraRAM is 4096 deep; below that block RAM wastes less.
  localparam bit Ultra = cosyn_pkg::VectorLines >= 4096;

  assign rd_gnt_o = rd_req_i & (~rd_req_i + 3'd1);
  assign wr_gnt_o = wr_req_i & (~wr_req_i + 4'd1);

  logic [AddressBits-1:0] read_address, write_address_q;
  logic [LineBits-1:0] write_data_q;
  logic [Lanes-1:0] write_enable_q;
  logic [2:0] valid1_q, valid2_q;
  logic first_enable_q, second_enable_q;

  assign read_address = rd_gnt_o[0] ? rd_addr_i[0+:AddressBits] :
      rd_gnt_o[1] ? rd_addr_i[AddressBits+:AddressBits] : rd_addr_i[2*AddressBits+:AddressBits];

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid1_q <= 3'd0;
      valid2_q <= 3'd0;
      first_enable_q <= 1'b0;
      second_enable_q <= 1'b0;
      write_enable_q <= '0;
    end else begin
      valid1_q <= rd_gnt_o;
      valid2_q <= valid1_q;
      first_enable_q <= r0_en_i;
      second_enable_q <= |rd_gnt_o;
      case (wr_gnt_o)
        4'b0001: write_enable_q <= wr_mask_i[0+:Lanes];
        4'b0010: write_enable_q <= wr_mask_i[Lanes+:Lanes];
        4'b0100: write_enable_q <= wr_mask_i[2*Lanes+:Lanes];
        4'b1000: write_enable_q <= wr_mask_i[3*Lanes+:Lanes];
        default: write_enable_q <= '0;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    case (wr_gnt_o)
      4'b0001: {write_address_q, write_data_q} <= {wr_addr_i[0+:AddressBits], wr_data_i[0+:LineBits]};
      4'b0010:
      {write_address_q, write_data_q} <= {wr_addr_i[AddressBits+:AddressBits], wr_data_i[LineBits+:LineBits]};
      4'b0100:
      {write_address_q, write_data_q} <= {wr_addr_i[2*AddressBits+:AddressBits], wr_data_i[2*LineBits+:LineBits]};
      4'b1000:
      {write_address_q, write_data_q} <= {wr_addr_i[3*AddressBits+:AddressBits], wr_data_i[3*LineBits+:LineBits]};
      default: ;
    endcase
  end

  // Two lanes to a memory, which is the width of an UltraRAM: the enables then fall on its bytes.
  generate
    for (genvar i = 0; i < Lanes / 2; i++) begin : g_pair
      cosyn_ram_1r1w #(
          .Width    (64),
          .Depth    (cosyn_pkg::VectorLines),
          .WriteBits(32),
          .Ultra    (Ultra)
      ) u_first (
          .clk_i  (clk_i),
          .we_i   (write_enable_q[i*2+:2]),
          .waddr_i(write_address_q),
          .wdata_i(write_data_q[i*64+:64]),
          .re_i   (r0_en_i),
          .raddr_i(r0_addr_i),
          .ce_i   (first_enable_q),
          .rdata_o(r0_data_o[i*64+:64])
      );

      cosyn_ram_1r1w #(
          .Width    (64),
          .Depth    (cosyn_pkg::VectorLines),
          .WriteBits(32),
          .Ultra    (Ultra)
      ) u_second (
          .clk_i  (clk_i),
          .we_i   (write_enable_q[i*2+:2]),
          .waddr_i(write_address_q),
          .wdata_i(write_data_q[i*64+:64]),
          .re_i   (|rd_gnt_o),
          .raddr_i(read_address),
          .ce_i   (second_enable_q),
          .rdata_o(rd_data_o[i*64+:64])
      );
    end
  endgenerate

  assign rd_valid_o = valid2_q;

`ifndef SYNTHESIS
  // A request stays as it is until it is granted.
  logic [2:0] rd_held_q;
  logic [3:0] wr_held_q;
  logic [3*AddressBits-1:0] rd_addr_q;
  logic [4*AddressBits-1:0] wr_addr_q;
  always_ff @(posedge clk_i) begin
    rd_held_q <= rst_i ? 3'd0 : rd_req_i & ~rd_gnt_o;
    wr_held_q <= rst_i ? 4'd0 : wr_req_i & ~wr_gnt_o;
    rd_addr_q <= rd_addr_i;
    wr_addr_q <= wr_addr_i;
    if (!rst_i) begin
      for (int i = 0; i < 3; i++) begin
        if (rd_held_q[i])
          assert (rd_req_i[i] && rd_addr_i[i*AddressBits+:AddressBits] === rd_addr_q[i*AddressBits+:AddressBits])
          else $error("%m: read request %0d changed before its grant", i);
      end
      for (int i = 0; i < 4; i++) begin
        if (wr_held_q[i])
          assert (wr_req_i[i] && wr_addr_i[i*AddressBits+:AddressBits] === wr_addr_q[i*AddressBits+:AddressBits])
          else $error("%m: write request %0d changed before its grant", i);
      end
    end
  end
`endif
endmodule
