// Threads that help a caller with the parts of its work.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace medclf::core {

/// A fixed number of threads beside those of the callers; safe to share between callers.
class Workers {
 public:
  using Task = std::function<void(size_t)>;

  explicit Workers(size_t n_helpers);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Calls task(0) to task(n - 1), each once, in the caller's thread and the helpers', and returns when all have ended.
  /// After an exception those that have not begun are dropped, and the first exception is thrown on.
  void run(size_t n, const Task& task);

 private:
  struct Job {
    const Task& task;
    size_t n;
    size_t next = 0;
    size_t n_running = 0;
    std::exception_ptr error = nullptr;
  };

  void end();
  void help();
  void take_one(Job& job, std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::deque<Job*> jobs_;  // with parts that nobody has taken
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace medclf::core
