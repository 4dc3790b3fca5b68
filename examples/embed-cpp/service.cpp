// An HTTP service without Python: the text of a note in, labels and probabilities out.
//
//     service BUNDLE [PORT]
//     curl --data-binary @note.txt http://127.0.0.1:8080/classify
//
// It listens on this machine alone, and neither logs nor keeps a text.
#include <httplib.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include <medclf/classifier.hpp>

namespace {

constexpr size_t kMaxBody = 4'000'000;  // bytes; a text may have a million characters

/// One line a label: its name, its probability, and whether the text is given it.
std::string table(const medclf::Classifier& classifier, const medclf::Answer& answer) {
  std::string lines;
  for (size_t i = 0; i < classifier.labels().size(); ++i) {
    char numbers[32];
    const bool given = std::find(answer.given.begin(), answer.given.end(), i) != answer.given.end();
    std::snprintf(numbers, sizeof numbers, "\t%.6f\t%d\n", static_cast<double>(answer.probabilities[i]), given);
    lines += classifier.labels()[i] + numbers;
  }
  return lines;
}

void classify(const medclf::Classifier& classifier, const httplib::Request& request, httplib::Response& response) {
  const medclf::Answer answer = classifier.classify({std::string_view(request.body)}).front();
  if (answer.fault != MEDCLF_FAULT_NONE) {
    response.status = 422;
    response.set_content(std::string("the text ") + medclf_fault_reason(answer.fault) + "\n", "text/plain");
    return;
  }
  response.set_header("X-Medclf-Truncated", answer.truncated ? "1" : "0");
  response.set_content(table(classifier, answer), "text/tab-separated-values");
}

void serve(const std::string& bundle, int port) {
  medclf_options options{};
  options.threads = 1;  // the threads of the server call the one classifier
  const medclf::Classifier classifier(bundle, options);
  httplib::Server server;
  server.set_payload_max_length(kMaxBody);
  server.Get("/health", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ready\n", "text/plain");
  });
  server.Post("/classify", [&classifier](const httplib::Request& request, httplib::Response& response) {
    classify(classifier, request, response);
  });
  std::fprintf(stderr, "listening on 127.0.0.1:%d\n", port);
  if (!server.listen("127.0.0.1", port)) throw std::runtime_error("port " + std::to_string(port) + " cannot be had.");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fputs("usage: service BUNDLE [PORT]\n", stderr);
    return 2;
  }
  try {
    serve(argv[1], argc == 3 ? std::atoi(argv[2]) : 8080);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
