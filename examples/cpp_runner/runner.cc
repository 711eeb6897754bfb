// Runs a cosyn CPU artifact without Python: greedy decoding through TVM's C++ API, token ids in, token ids out.
#include <fcntl.h>
#include <sys/mman.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/extra/module.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
namespace ffi = tvm::ffi;
using ffi::json::Object, std::string;
using Ints = ffi::Array<int64_t>;

struct Memory {  // at a given address, else fresh zeros; either stays until the program ends
  void* address;
  void AllocData(DLTensor* t) { t->data = address ? address : Map(ffi::GetDataSize(*t), MAP_ANONYMOUS, -1); }
  void FreeData(DLTensor*) {}
  static void* Map(size_t n, int flags, int fd) { return mmap(0, n, PROT_READ|PROT_WRITE, MAP_PRIVATE|flags, fd, 0); }
};
ffi::Tensor Tensor(const string& type, ffi::Shape shape, void* address = nullptr) {  // type: f32, i8, bf16, ...
  const int code = type[0] == 'f' ? kDLFloat : type[0] == 'i' ? kDLInt : kDLUInt;
  const int bits = std::stoi(type.substr(type.find_first_of("123468")));
  return ffi::Tensor::FromNDAlloc(Memory{address}, shape, {uint8_t(code), uint8_t(bits), 1}, {kDLCPU, 0});
}
template <typename T = int64_t> T Get(const Object& o, string key) { return o[ffi::String(key)].cast<T>(); }
Object Parse(const string& text) { return ffi::json::Parse(text).cast<Object>(); }

int main(int argc, char** argv) {
  if (argc < 4) return std::cerr << "usage: runner ARTIFACT NEW_TOKENS TOKEN_ID [TOKEN_ID ...]\n", 2;
  const string folder = argv[1], path = folder + "/weights.safetensors";
  std::ifstream text(folder + "/manifest.json");
  const Object manifest = Parse({std::istreambuf_iterator<char>(text), {}}), model = Get<Object>(manifest, "model");
  char* map = (char*)Memory::Map(std::filesystem::file_size(path), 0, open(path.c_str(), O_RDONLY));
  char* data = map + 8 + *(uint64_t*)map;  // the JSON header's size, the header, the tensors
  const Object header = Parse({map + 8, data});
  ffi::Array<ffi::Tensor> weights, states;
  for (const Object& w : Get<ffi::Array<Object>>(manifest, "weights")) {
    const auto at = Get<Ints>(Get<Object>(header, Get<string>(w, "name")), "data_offsets");
    weights.push_back(Tensor(Get<string>(w, "dtype"), Get<Ints>(w, "shape"), data + at[0]));
  }
  const int64_t capacity = Get(model, "max_seq"), vocab = Get(model, "vocab_size"), prompt = argc - 3;
  for (const Object& s : Get<ffi::Array<Object>>(manifest, "states")) {  // a ring holds its window, one token a step
    const int64_t window = Get(s, "window"), heads = Get(s, "n_kv_heads");
    const int64_t held = window ? std::min(window + Get(s, "sinks"), capacity) : capacity;
    const string type = Get<string>(s, "dtype");
    for (string width : {"head_dim", "v_dim"}) states.push_back(Tensor(type, {1, heads, held, Get(s, width)}));
    for (int i = 0; type == "i8" && i < 2; ++i) states.push_back(Tensor("f32", {1, heads, held}));
  }
  auto vm = (*ffi::Module::LoadFromFile(folder + "/model.so")->GetFunction("vm_load_executable"))().cast<ffi::Module>();
  (*vm->GetFunction("vm_initialization"))(int{kDLCPU}, 0, 2);
  const ffi::Any arena = (*vm->GetFunction("init_arena"))();
  const auto id = Tensor("i32", {1}), position = Tensor("i32", {1}), zero = Tensor("i32", {1});
  const auto logits = Tensor("f32", {1, vocab});
  int32_t &token = *(int32_t*)id.data_ptr(), &at = *(int32_t*)position.data_ptr();
  const float* row = (float*)logits.data_ptr();
  for (const int64_t last = std::min(capacity, prompt + atoi(argv[2]) - 1); at < last; ++at) {
    if (at < prompt) token = atoi(argv[3 + at]);
    (*vm->GetFunction("decode"))(arena, id, position, zero, zero, states, weights, logits);
    token = std::max_element(row, row + vocab) - row;
    if (at >= prompt - 1) std::cout << token << (at == last - 1 ? '\n' : ' ');
  }
}
