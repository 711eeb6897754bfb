// SPDX-License-Identifier: Apache-2.0
// One DSP slice: P = (high * 2^18 + low) * common + PCIN, two INT8 products at once; the first of a cascade adds
// nothing. Operands are taken at cycle t, P is there at t + 4, and PCIN of the neighbour is added at t + 3.
// Synthesis instantiates a DSP48E2 with every register in use; simulation has a behavioural twin of the same registers.
module cosyn_dsp48_pair #(
    parameter bit First = 1'b0
) (
    input  logic        clk_i,
    input  logic        en_i,
    input  logic [ 7:0] high_i,
    input  logic [ 7:0] low_i,
    input  logic [ 7:0] common_i,
    input  logic [47:0] pcin_i,
    output logic [47:0] pcout_o,
    output logic [47:0] p_o
);
`ifdef SYNTHESIS
  DSP48E2 #(
      .AMULTSEL("AD"),
      .PREADDINSEL("A"),
      .USE_MULT("MULTIPLY"),
      .USE_SIMD("ONE48"),
      .ACASCREG(1),
      .ADREG(1),
      .ALUMODEREG(0),
      .AREG(1),
      .BCASCREG(2),
      .BREG(2),
      .CARRYINREG(0),
      .CARRYINSELREG(0),
      .CREG(0),
      .DREG(1),
      .INMODEREG(0),
      .MREG(1),
      .OPMODEREG(0),
      .PREG(1)
  ) dsp (
      .CLK(clk_i),
      .A({{4{high_i[7]}}, high_i, 18'd0}),
      .B({{10{common_i[7]}}, common_i}),
      .C(48'd0),
      .D({{19{low_i[7]}}, low_i}),
      .PCIN(First ? 48'd0 : pcin_i),
      .PCOUT(pcout_o),
      .P(p_o),
      .INMODE(5'b00100),
      .OPMODE(First ? 9'b000000101 : 9'b000010101),
      .ALUMODE(4'b0000),
      .CARRYIN(1'b0),
      .CARRYINSEL(3'b000),
      .ACIN(30'd0),
      .BCIN(18'd0),
      .CARRYCASCIN(1'b0),
      .MULTSIGNIN(1'b0),
      .CEA1(1'b0),
      .CEA2(en_i),
      .CEAD(en_i),
      .CEALUMODE(1'b0),
      .CEB1(en_i),
      .CEB2(en_i),
      .CEC(1'b0),
      .CECARRYIN(1'b0),
      .CECTRL(1'b0),
      .CED(en_i),
      .CEINMODE(1'b0),
      .CEM(en_i),
      .CEP(en_i),
      .RSTA(1'b0),
      .RSTALLCARRYIN(1'b0),
      .RSTALUMODE(1'b0),
      .RSTB(1'b0),
      .RSTC(1'b0),
      .RSTCTRL(1'b0),
      .RSTD(1'b0),
      .RSTINMODE(1'b0),
      .RSTM(1'b0),
      .RSTP(1'b0)
  );
`else
  logic signed [26:0] a_q, d_q, ad_q;
  logic signed [17:0] b1_q, b2_q;
  logic signed [44:0] m_q;
  logic        [47:0] p_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      a_q  <= {high_i[7], high_i, 18'd0};
      d_q  <= {{19{low_i[7]}}, low_i};
      b1_q <= {{10{common_i[7]}}, common_i};
      ad_q <= a_q + d_q;
      b2_q <= b1_q;
      m_q  <= 45'(ad_q) * 45'(b2_q);
      p_q  <= {{3{m_q[44]}}, m_q} + (First ? 48'd0 : pcin_i);
    end
  end
  assign p_o     = p_q;
  assign pcout_o = p_q;
`endif
endmodule
