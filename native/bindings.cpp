// The Python module: checks arguments, allocates results, releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "codes_module.h"
#include "cpu.h"
#include "drivers.h"
#include "embedding_module.h"
#include "fm_module.h"
#include "impacts_module.h"
#include "lists_module.h"
#include "maxsim_module.h"
#include "reading.h"
#include "wordpiece.h"

using namespace bigrain;

namespace {

nb::object top_k_(const Level& level, nb::handle scores_, int64_t k_, nb::handle live_,
                  double floor) {
  const Array<float> scores("scores", scores_, 1);
  const size_t n = scores.size(), k = std::min(non_negative("k", k_), n);
  const Live live(live_, n);
  if (std::isnan(floor)) fail("floor: must not be NaN");
  if (n > 0xfffffffe) fail("scores: length: expected less than 2**32 - 1, got ", n);
  std::vector<int64_t> rows(k);
  std::vector<float> best_scores(k);
  size_t count = 0;
  if (k) {
    Released released;
    Best best(k, static_cast<float>(floor));
    level.select(scores.data(), n, live.data(), best.selection());
    count = best.finish(rows.data(), best_scores.data());
  }
  Result<int64_t> out_rows({count});
  Result<float> out_scores({count});
  std::copy_n(rows.data(), count, out_rows.data());
  std::copy_n(best_scores.data(), count, out_scores.data());
  return nb::make_tuple(out_rows.take(), out_scores.take());
}

nb::object pool_tokens_(const Level& level, nb::handle ids_, nb::handle offsets_, nb::handle table_,
                        nb::handle scales_, float power, bool normalise) {
  const Array<int32_t> ids("ids", ids_, 1);
  const Offsets offsets("offsets", offsets_, ids.size());
  const Array<int8_t> table("table", table_, 2);
  const Array<float> scales("scales", scales_, 1);
  expect("scales: length", scales.size(), table.dim(0));
  check_ids("ids", level, ids.data(), ids.size(), std::min<size_t>(table.dim(0), 0x80000000u));
  Result<float> out({offsets.size() - 1, table.dim(1)});
  {
    Released released;
    pool_tokens(level, ids.data(), offsets.data(), offsets.size() - 1, table.data(), table.dim(1),
                scales.data(), power, normalise, out.data());
  }
  return out.take();
}

nb::object maxsim_(const Level& level, nb::handle query_, nb::handle tokens_,
                   nb::handle offsets_) {
  const Array<float> query("query", query_, 2), tokens("tokens", tokens_, 2);
  expect("tokens: dimension", tokens.dim(1), query.dim(1));
  const Offsets offsets("offsets", offsets_, tokens.dim(0));
  Result<float> out({offsets.size() - 1});
  {
    Released released;
    maxsim(level, query.data(), query.dim(0), query.dim(1), tokens.data(), offsets.data(),
           offsets.size() - 1, out.data());
  }
  return out.take();
}

int64_t read_stretches_(int fd, nb::handle stretches_, nb::handle buffer_) {
  const Array<int64_t> stretches("stretches", stretches_, 2);
  const AnyArray buffer("buffer", buffer_, 1, {{'u', 1}}, true);
  expect("stretches: columns", stretches.dim(1), 2);
  size_t left = buffer.size();
  for (size_t i = 0; i < stretches.dim(0); ++i) {
    const int64_t offset = stretches.data()[2 * i], length = stretches.data()[2 * i + 1];
    if (offset < 0 || length < 0) fail("stretches: row ", i, ": expected numbers from 0");
    if (offset > INT64_MAX - length) fail("stretches: row ", i, ": expected an end below 2**63");
    if (static_cast<uint64_t>(length) > left) fail("buffer: bytes: expected more than ", buffer.size());
    left -= static_cast<size_t>(length);
  }
  int64_t got;
  {
    Released released;
    got = read_stretches(fd, stretches.data(), stretches.dim(0), buffer.as<uint8_t>());
  }
  if (got < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    throw nb::python_error();
  }
  return got;
}

// UTF-8 of the strings of a list; `owner` keeps them alive.
std::vector<std::string_view> utf8(const char* name, const char* item, nb::handle list,
                                   nb::object& owner) {
  if (!PyList_Check(list.ptr())) {
    PyErr_Format(PyExc_TypeError, "%s: expected a list, got %s", name, Py_TYPE(list.ptr())->tp_name);
    throw nb::python_error();
  }
  owner = nb::steal(PyList_AsTuple(list.ptr()));
  const Py_ssize_t n = PyTuple_GET_SIZE(owner.ptr());
  std::vector<std::string_view> views(static_cast<size_t>(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* text = PyTuple_GET_ITEM(owner.ptr(), i);
    Py_ssize_t size = 0;
    const char* data = PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &size) : nullptr;
    if (data) {
      views[static_cast<size_t>(i)] = {data, static_cast<size_t>(size)};
    } else if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_UnicodeError)) {
      throw nb::python_error();
    } else if (PyErr_Occurred()) {
      PyErr_Clear();
      fail(name, ": ", item, " ", i, " contains a lone surrogate");
    } else {
      PyErr_Format(PyExc_TypeError, "%s: %s %zd is not a string", name, item, i);
      throw nb::python_error();
    }
  }
  return views;
}

struct PyWordPiece {
  WordPiece wordpiece;
  nb::object encode(nb::handle texts_) const {
    nb::object owner;
    const auto texts = utf8("texts", "number", texts_, owner);
    std::vector<int32_t> ids;
    Result<int64_t> offsets({texts.size() + 1});
    {
      Released released;
      offsets.data()[0] = 0;
      for (size_t i = 0; i < texts.size(); ++i) {
        wordpiece.encode(texts[i], ids);
        offsets.data()[i + 1] = static_cast<int64_t>(ids.size());
      }
    }
    Result<int32_t> out({ids.size()});
    std::copy(ids.begin(), ids.end(), out.data());
    return nb::make_tuple(out.take(), offsets.take());
  }
};

struct Kernels {
  const Level* level;
};

auto any(const char* name) { return nb::arg(name).none(); }  // checked by the function itself

template <auto Function>
struct Method;
template <class R, class... Arguments, R (*Function)(const Level&, Arguments...)>
struct Method<Function> {
  static R call(const Kernels& self, Arguments... arguments) {
    return Function(*self.level, arguments...);
  }
};

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // the chosen level is kept until the process ends
  m.def("levels", [] {
    std::vector<std::string> names;
    for (const Level* level : supported_levels()) names.push_back(level->name);
    return names;
  });

  m.def("read_stretches", &read_stretches_, nb::arg("fd"), any("stretches"), any("buffer"));

  nb::class_<PyWordPiece>(m, "WordPiece").def("encode", &PyWordPiece::encode, nb::arg("texts"));

  bind_posting_list(m);

  nb::class_<Kernels>(m, "Kernels")
      .def("__init__",
           [](Kernels* self, const std::string& name) {
             for (const Level* level : supported_levels())
               if (name == level->name) {
                 new (self) Kernels{level};
                 return;
               }
             fail("level: '", name, "' is not available");
           })
      .def("rotate", &Method<rotate_>::call, any("vectors"), any("signs"))
      .def("sign_encode", &Method<sign_encode_>::call, any("vectors"))
      .def("build_luts", &Method<build_luts_>::call, any("queries"))
      .def("quantise_tables", &Method<quantise_tables_>::call, any("tables"))
      .def("scan_lists", &Method<scan_lists_>::call, any("blocks"), any("starts"), any("luts"),
           any("scale"), any("bias"), any("row_scale"), any("row_offset"), any("live"),
           any("probes"), any("lists"), any("bases"), nb::arg("keep"), nb::arg("rank") = 1,
           any("doubt") = nb::none())
      .def("dot_table", &Method<dot_table_>::call, any("panels"), nb::arg("n"), any("vectors"))
      .def("route_lists", &Method<route_lists_>::call, any("panels"), any("sizes"),
           any("counted"), any("scale"), any("radius"), any("offset"), nb::arg("outward"),
           any("vectors"), any("vector_scale"), any("length"), nb::arg("margin"),
           nb::arg("least"))
      .def("nearest", &Method<nearest_>::call, any("panels"), any("scale"), any("offset"),
           any("vectors"), any("weight"))
      .def("score_rows", &Method<score_rows_>::call, any("records"), nb::arg("dim"),
           nb::arg("dtype"), any("query"), nb::arg("metric"))
      .def("score_pairs", &Method<score_pairs_>::call, any("records"), nb::arg("dim"),
           nb::arg("dtype"), any("queries"), any("record_of"), any("query_of"), nb::arg("metric"))
      .def("row_checksums", &Method<row_checksums_>::call, any("records"))
      .def("first_damaged", &Method<first_damaged_>::call, any("records"))
      .def("quantise_rows", &Method<quantise_rows_>::call, any("vectors"))
      .def("encode_lists", &Method<encode_lists_>::call, any("rows"), any("impacts"),
           any("values"), any("starts"))
      .def("PostingList", &Method<posting_list_>::call, any("data"), nb::arg("n"),
           nb::arg("n_rows"))
      .def("decode_lists", &Method<decode_lists_>::call, any("data"), any("ends"), any("counts"),
           any("checksums"), nb::arg("n_rows"))
      .def("search_lists", &Method<search_lists_>::call, any("lists"), any("weights"),
           any("bounds"), any("lengths"), nb::arg("flat"), nb::arg("slope"), any("live"),
           nb::arg("n_rows"), nb::arg("k"), nb::arg("floor"))
      .def("score_lists", &Method<score_lists_>::call, any("lists"), any("weights"),
           any("lengths"), nb::arg("flat"), nb::arg("slope"), nb::arg("n_rows"), any("rows"))
      .def("pack_impacts", &Method<pack_impacts_>::call, any("postings"), nb::arg("n_rows"))
      .def("sound_impacts", &Method<sound_impacts_>::call, any("data"), nb::arg("n_postings"),
           nb::arg("filled"), nb::arg("n_rows"))
      .def("search_impacts", &Method<search_impacts_>::call, any("data"), any("filled"),
           any("sizes"), nb::arg("n_rows"), any("offsets"), any("lists"), any("factors"),
           any("slack"), nb::arg("keep"), any("live"))
      .def("order_impacts", &Method<order_impacts_>::call, any("data"), nb::arg("n_postings"),
           nb::arg("filled"), nb::arg("n_rows"), nb::arg("least"))
      .def("search_ordered", &Method<search_ordered_>::call, any("data"), nb::arg("n_rows"),
           any("offsets"), any("lists"), any("factors"), any("least"), nb::arg("keep"),
           any("live"))
      .def("deal_postings", &Method<deal_postings_>::call, any("lists"), any("weights"),
           any("offsets"), nb::arg("first_row"), any("largest"), any("places"), any("out"))
      .def("encode_weights", &Method<encode_weights_>::call, any("columns"), any("weights"),
           any("offsets"), nb::arg("width"))
      .def("decode_weights", &Method<decode_weights_>::call, any("records"), any("places"),
           nb::arg("width"))
      .def("first_unsound_weights", &Method<first_unsound_weights_>::call, any("records"),
           any("places"))
      .def("score_weights", &Method<score_weights_>::call, any("records"), any("places"),
           nb::arg("width"), any("columns"), any("weights"), any("queries"), any("record_of"),
           any("query_of"))
      .def("top_k", &Method<top_k_>::call, any("scores"), nb::arg("k"), any("live") = nb::none(),
           nb::arg("floor") = -INFINITY)
      .def("pool_tokens", &Method<pool_tokens_>::call, any("ids"), any("offsets"), any("table"),
           any("scales"), nb::arg("power"), nb::arg("normalise"))
      .def("maxsim", &Method<maxsim_>::call, any("query"), any("tokens"), any("offsets"))
      .def("maxsim_pairs", &Method<maxsim_pairs_>::call, any("records"), any("starts"),
           any("counts"), any("query_of"), any("queries"), any("offsets"), nb::arg("kind"),
           any("centroids"), any("centroid_scale"), any("weights"), nb::arg("weight_scale"))
      .def("token_scores", &Method<token_scores_>::call, any("record"), any("query"),
           nb::arg("kind"), any("centroids"), any("centroid_scale"), any("weights"),
           nb::arg("weight_scale"))
      .def("sketch_scores", &Method<sketch_scores_>::call, any("table"), any("sums"), any("ids"),
           any("starts"), any("rows"), any("tokens"), any("scale"), any("offsets"))
      .def("suffix_array", &Method<suffix_array_>::call, any("text"))
      .def("fm_blocks", &Method<fm_blocks_>::call, any("text"), any("suffixes"), any("ends"))
      .def("fm_ranks", &Method<fm_ranks_>::call, any("records"), any("slots"), any("offsets"),
           any("symbols"))
      .def("fm_steps", &Method<fm_steps_>::call, any("records"), any("slots"), any("offsets"))
      .def("mapped_rows", &Method<mapped_rows_>::call, any("values"), any("bits"), any("counts"),
           any("ids"), nb::arg("dim"))
      .def("listed_rows", &Method<listed_rows_>::call, any("values"), any("places"), any("first"),
           nb::arg("step"), any("ids"), nb::arg("dim"))
      .def("code_rows", &Method<code_rows_>::call, any("books"), any("packed"), any("bits"),
           any("starts"), any("ids"))
      .def("narrow_rows", &Method<narrow_rows_>::call, any("cells"), any("scales"), any("starts"),
           any("sizes"), any("widths"), any("projections"), any("kept"), any("counts"),
           any("places"), nb::arg("dim"))
      .def("WordPiece", [](const Kernels&, nb::handle vocabulary, const std::string& unk,
                           const std::string& prefix, int64_t max_chars) {
        nb::object owner;
        const auto tokens = utf8("vocabulary", "token", vocabulary, owner);
        return PyWordPiece{WordPiece(tokens, unk, prefix,
                                     non_negative("max_chars_per_word", max_chars))};
      });
}
