// SPDX-License-Identifier: Apache-2.0
// The activation banks and the reader that runs ahead of the array: for every pass it reads the lines of a token group
// (MM: all banks, MV: one) step by step into a small FIFO, and hands out the window of the next step, ordered for
// cosyn_sparse_mux. Writes (`Lanes` bytes a cycle) are always accepted; ST reads when the array does not.
module cosyn_activation_buffer #(
    localparam int LineBits = 8 * cosyn_pkg::ActivationLineBytes,
    localparam int SlotBits = 8 * cosyn_pkg::Lanes,
    localparam int Banks = cosyn_pkg::TokenGroup,
    localparam int AA = cosyn_pkg::ActivationAddressBits
) (
    input  logic                      clk_i,
    input  logic                      rst_i,
    // write
    input  logic                      act_we_i,
    input  logic [               7:0] act_bank_i,
    input  logic [            AA-1:0] act_addr_i,
    input  logic [              15:0] act_slot_i,
    input  logic [      SlotBits-1:0] act_data_i,
    // ST
    input  logic                      st_act_req_i,
    input  logic [               7:0] st_act_bank_i,
    input  logic [            AA-1:0] st_act_addr_i,
    output logic                      st_act_gnt_o,
    output logic                      st_act_valid_o,
    output logic [      LineBits-1:0] st_act_data_o,
    // sequence of the array: steady from the cycle after start_i
    input  logic                      start_i,
    input  logic                      mm_i,
    input  logic [               1:0] kept_i,
    input  logic [               7:0] bank_i,       // MV: bank of the row
    input  logic [              16:0] line_i,       // first line of the first token group
    input  logic [              11:0] row_lines_i,
    input  logic [              15:0] steps_i,
    input  logic [              15:0] tiles_i,
    input  logic [               9:0] passes_i,
    // next step
    output logic                      valid_o,
    input  logic                      fire_i,       // registers the window
    input  logic                      pop_i,        // with fire_i: the step is done
    output logic [Banks*LineBits-1:0] window_o,     // MV: the row in token 0's place
    output logic                      out_of_range_o
);
  localparam int K = cosyn_pkg::ChainLength;
  localparam int Group = cosyn_pkg::SparsityBlock * K / cosyn_pkg::ActivationLineBytes;
  localparam int Slots = cosyn_pkg::ActivationLineBytes / cosyn_pkg::Lanes;
  localparam int DenseSteps = cosyn_pkg::ActivationLineBytes / K;  // dense steps in a line
  localparam int Fifo = 4;

  // -- sequence ---------------------------------------------------------------------------------------------------------

  logic starting_q, active_q, issue, line_done, pass_done, tile_done;
  logic [17:0] base_q, at_q;
  logic [15:0] steps_q, tiles_q;
  logic [9:0] passes_q;
  logic [3:0] offset_q, steps_of_line;  // step within the line
  logic [2:0] room_q;

  always_comb begin
    case (kept_i)
      cosyn_pkg::KeptN8: steps_of_line = 4'((DenseSteps + 1) / 2);
      cosyn_pkg::KeptN4: steps_of_line = 4'((DenseSteps + 3) / 4);
      cosyn_pkg::KeptN2: steps_of_line = 4'((DenseSteps + 7) / 8);
      default: steps_of_line = 4'(DenseSteps);
    endcase
  end

  assign issue     = active_q && room_q != '0;
  assign line_done = offset_q == steps_of_line - 4'd1;
  assign pass_done = steps_q == 16'd1;
  assign tile_done = pass_done && passes_q == 10'd1;
  assign out_of_range_o = issue && at_q >= 18'(cosyn_pkg::ActivationLines);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      starting_q <= 1'b0;
      active_q   <= 1'b0;
      room_q     <= 3'(Fifo);
    end else begin
      starting_q <= start_i;
      if (starting_q) active_q <= 1'b1;
      else if (issue && tile_done && tiles_q == 16'd1) active_q <= 1'b0;
      room_q <= room_q - 3'(issue) + 3'(pop_i);
    end

    if (starting_q) begin
      base_q   <= {1'b0, line_i};
      at_q     <= {1'b0, line_i};
      offset_q <= '0;
      steps_q  <= steps_i;
      passes_q <= passes_i;
      tiles_q  <= tiles_i;
    end else if (issue) begin
      offset_q <= line_done || pass_done ? '0 : offset_q + 1'b1;
      steps_q  <= pass_done ? steps_i : steps_q - 1'b1;
      if (tile_done) begin
        base_q   <= {1'b0, line_i};
        at_q     <= {1'b0, line_i};
        passes_q <= passes_i;
        tiles_q  <= tiles_q - 1'b1;
      end else if (pass_done) begin
        base_q   <= base_q + {6'd0, row_lines_i};
        at_q     <= base_q + {6'd0, row_lines_i};
        passes_q <= passes_q - 1'b1;
      end else if (line_done) at_q <= at_q + 1'b1;
    end
  end

  // -- banks ------------------------------------------------------------------------------------------------------------

  logic [Banks*LineBits-1:0] read_data;
  logic read1_q, read2_q, store1_q, store2_q;
  logic [3:0] offset1_q, offset2_q;
  logic [7:0] bank1_q, bank2_q;
  logic [AA-1:0] read_at;
  logic store;

  assign store        = st_act_req_i && !issue;
  assign st_act_gnt_o = !issue;
  assign read_at      = issue ? at_q[AA-1:0] : st_act_addr_i;

  for (genvar b = 0; b < Banks; b++) begin : g_bank
    logic read, read_q;
    logic [Slots-1:0] enable;

    assign read = issue ? (mm_i || int'(bank_i) == b) && !out_of_range_o : store && int'(st_act_bank_i) == b;
    for (genvar s = 0; s < Slots; s++) begin : g_slot
      assign enable[s] = act_we_i && int'(act_bank_i) == b && int'(act_slot_i) == s;
    end
    always_ff @(posedge clk_i) read_q <= read;
    cosyn_ram_1r1w #(
        .Width(LineBits),
        .Depth(cosyn_pkg::ActivationLines),
        .WriteBits(SlotBits),
        .Ultra(cosyn_pkg::ActivationLines >= 4096)
    ) lines (
        .clk_i,
        .we_i(enable),
        .waddr_i(act_addr_i),
        .wdata_i({Slots{act_data_i}}),
        .re_i(read),
        .raddr_i(read_at),
        .ce_i(read_q),
        .rdata_o(read_data[b*LineBits+:LineBits])
    );
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      read1_q  <= 1'b0;
      read2_q  <= 1'b0;
      store1_q <= 1'b0;
      store2_q <= 1'b0;
    end else begin
      read1_q  <= issue;
      read2_q  <= read1_q;
      store1_q <= store;
      store2_q <= store1_q;
    end
    offset1_q <= offset_q;
    offset2_q <= offset1_q;
    bank1_q   <= issue ? bank_i : st_act_bank_i;
    bank2_q   <= bank1_q;
  end

  assign st_act_valid_o = store2_q;

  // One bank's line: ST's, or the row of MV.
  function automatic logic [LineBits-1:0] line_of(input logic [Banks*LineBits-1:0] lines, input logic [7:0] bank);
    line_of = lines[LineBits-1:0];
    for (int b = 1; b < Banks; b++) if (int'(bank) == b) line_of = lines[b*LineBits+:LineBits];
  endfunction

  assign st_act_data_o = line_of(read_data, bank2_q);

  // -- lines that wait for the array --------------------------------------------------------------------------------------

  (* ram_style = "distributed" *) logic [Banks*LineBits-1:0] line_q[0:Fifo-1];
  logic [3:0] line_offset_q[0:Fifo-1];
  logic [1:0] put_q, get_q;
  logic [2:0] count_q;

  assign valid_o = count_q != '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      put_q   <= '0;
      get_q   <= '0;
      count_q <= '0;
    end else begin
      count_q <= count_q + 3'(read2_q) - 3'(pop_i);
      if (read2_q) put_q <= put_q + 1'b1;
      if (pop_i) get_q <= get_q + 1'b1;
    end
    if (read2_q) begin
      line_offset_q[put_q] <= offset2_q;
      if (mm_i) line_q[put_q] <= read_data;
      else line_q[put_q] <= (Banks * LineBits)'(line_of(read_data, bank2_q));
    end
  end

  // -- the window of a step: byte order as in cosyn_sparse_mux --------------------------------------------------------------

  generate
    if (cosyn_pkg::HasSparsity != 0) begin : g_sparse
      // Candidates of groups that share a block of 16; `groups` of them do.
      function automatic logic [LineBits-1:0] ordered(input logic [LineBits-1:0] window, input int groups);
        for (int g = 0; g < K / Group; g++) begin
          ordered[8*g*Group+:8*Group] = window[128*(g/groups)+:8*Group];
          ordered[8*(K+g*(16-Group))+:8*(16-Group)] = window[128*(g/groups)+8*Group+:8*(16-Group)];
        end
      endfunction

      function automatic logic [LineBits-1:0] arranged(input logic [LineBits-1:0] line, input logic [3:0] offset,
                                                       input logic [1:0] kept, input logic [LineBits-1:0] previous);
        logic [LineBits-1:0] window;
        arranged = previous;
        case (kept)
          cosyn_pkg::KeptN8: begin
            window   = line >> (int'(offset) * 16 * K);
            arranged = ordered(window, 8 / Group);
          end
          cosyn_pkg::KeptN4: begin
            window   = line >> (int'(offset) * 32 * K);
            arranged = ordered(window, Group <= 4 ? 4 / Group : 1);
          end
          cosyn_pkg::KeptN2: arranged = ordered(line, 1);
          default: arranged[8*K-1:0] = line[8*K*int'(offset)+:8*K];
        endcase
      endfunction

      for (genvar b = 0; b < Banks; b++) begin : g_window
        always_ff @(posedge clk_i) begin
          if (fire_i && (mm_i || b == 0))
            window_o[b*LineBits+:LineBits] <= arranged(
                line_q[get_q][b*LineBits+:LineBits], line_offset_q[get_q], kept_i, window_o[b*LineBits+:LineBits]);
        end
      end
    end else begin : g_dense
      for (genvar b = 0; b < Banks; b++) begin : g_window
        always_ff @(posedge clk_i)
          if (fire_i && (mm_i || b == 0)) window_o[b*LineBits+:LineBits] <= line_q[get_q][b*LineBits+:LineBits];
      end
      logic unused;
      assign unused = ^line_offset_q[get_q];
    end
  endgenerate

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert (count_q <= 3'(Fifo)) else $error("%m: more lines than fit");
      if (fire_i) assert (valid_o) else $error("%m: a step without activations");
      if (pop_i) assert (fire_i) else $error("%m: activations taken outside a step");
      if (act_we_i) assert (int'(act_bank_i) < Banks && int'(act_slot_i) < Slots)
        else $error("%m: write to bank %0d slot %0d", act_bank_i, act_slot_i);
    end
  end
`endif
endmodule
