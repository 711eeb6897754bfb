// SPDX-License-Identifier: Apache-2.0
// The 6 x 6 token counters of a core: counter[from][to] is raised when `from` retires with `to` in its release mask,
// lowered when `to` issues with `from` in its wait mask. Every counter has a complemented copy that counts on its own:
// a token exists only if both say so, and a difference or an overflow is reported. A token is usable one cycle after
// the retirement that gave it.
module cosyn_tokens (
  input  logic        clk_i,
  input  logic        rst_i,
  input  logic [5:0]  issue_i,         // class issues its head instruction
  input  logic [35:0] wait_i,          // [to*6 + from]: wait mask of each class's head
  input  logic [5:0]  retire_i,        // class retires an instruction
  input  logic [35:0] release_i,       // [from*6 + to]: release mask of the retiring instruction
  output logic [5:0]  ready_o,         // all tokens of the head are there
  output logic        error_o,         // one cycle per bad event
  output logic [7:0]  error_code_o,
  output logic [3:0]  error_class_o,
  output logic [31:0] error_detail_o
);
  localparam int Classes = cosyn_pkg::Opcodes;
  localparam int Pairs = Classes * Classes;
  localparam int Width = 8;

  logic [Pairs*Width-1:0] count_q, copy_q;
  logic [Pairs-1:0]       available, corrupt, overflow;

  for (genvar from = 0; from < Classes; from++) begin : gen_from
    for (genvar to = 0; to < Classes; to++) begin : gen_to
      localparam int Index = from * Classes + to;
      logic give, take;
      assign give = retire_i[from] && release_i[Index];
      assign take = issue_i[to] && wait_i[to*Classes+from];
      assign available[Index] = count_q[Index*Width +: Width] != '0 && copy_q[Index*Width +: Width] != '1;
      assign corrupt[Index]   = count_q[Index*Width +: Width] != ~copy_q[Index*Width +: Width];
      assign overflow[Index]  = give && !take && count_q[Index*Width +: Width] == '1;

      always_ff @(posedge clk_i) begin
        if (rst_i) begin
          count_q[Index*Width +: Width] <= '0;
          copy_q[Index*Width +: Width]  <= '1;
        end else if (give && !take) begin
          count_q[Index*Width +: Width] <= count_q[Index*Width +: Width] + 1'b1;
          copy_q[Index*Width +: Width]  <= copy_q[Index*Width +: Width] - 1'b1;
        end else if (take && !give) begin
          count_q[Index*Width +: Width] <= count_q[Index*Width +: Width] - 1'b1;
          copy_q[Index*Width +: Width]  <= copy_q[Index*Width +: Width] + 1'b1;
        end
      end
    end
  end

  always_comb begin
    ready_o = '1;
    for (int to = 0; to < Classes; to++) begin
      for (int from = 0; from < Classes; from++) begin
        if (wait_i[to*Classes+from] && !available[from*Classes+to]) ready_o[to] = 1'b0;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    error_o        <= !rst_i && (corrupt != '0 || overflow != '0);
    error_code_o   <= corrupt != '0 ? cosyn_control_pkg::ErrorTokenCorrupt : cosyn_control_pkg::ErrorTokenOverflow;
    error_class_o  <= cosyn_control_pkg::NoClass;
    error_detail_o <= '0;
    for (int from = 0; from < Classes; from++) begin
      for (int to = 0; to < Classes; to++) begin
        if (corrupt[from*Classes+to] || (corrupt == '0 && overflow[from*Classes+to])) begin
          error_class_o  <= 4'(to);
          error_detail_o <= 32'(from * Classes + to);
        end
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert ((issue_i & ~ready_o) == '0) else $error("%m: a class issued without its tokens");
    end
  end
`endif
endmodule
