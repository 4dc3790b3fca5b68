// Opens and closes the golden bundle again and again: memory must not grow.
//
//     test_reopen GOLDEN [N]
#include <cstdlib>

#include "check.hpp"
#include "medclf/medclf.h"

namespace {

constexpr int kSkipped = 77;

medclf_status open_and_close(const std::string& bundle) {
  medclf_classifier* classifier = nullptr;
  const medclf_status status = medclf_open(bundle.c_str(), nullptr, &classifier);
  if (status == MEDCLF_OK) CHECK_EQUAL(medclf_predict(classifier, "baba", 4, nullptr, nullptr), MEDCLF_OK);
  medclf_close(classifier);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string bundle = argv[1] + std::string("/bundle");
  const long n = argc > 2 ? std::atol(argv[2]) : 100;
  if (open_and_close(bundle) == MEDCLF_ERROR_RUNTIME) return kSkipped;
  long pages = 0;
  for (long i = 0; i < n; ++i) {
    CHECK_EQUAL(open_and_close(bundle), MEDCLF_OK);
    if (i == n / 2) pages = check::resident_pages();
  }
  std::printf("resident pages at half time and now: %ld, %ld\n", pages, check::resident_pages());
  CHECK(check::resident_pages() < pages + pages / 20 + 200);
  return check::result();
}
