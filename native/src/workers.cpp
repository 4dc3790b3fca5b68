#include "workers.hpp"

#include <algorithm>

namespace medclf::core {

Workers::Workers(size_t n_helpers) {
  try {
    for (size_t i = 0; i < n_helpers; ++i) threads_.emplace_back([this] { help(); });
  } catch (...) {
    end();
    throw;
  }
}

Workers::~Workers() { end(); }

void Workers::end() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::run(size_t n, const Task& task) {
  if (n < 2 || threads_.empty()) {
    for (size_t i = 0; i < n; ++i) task(i);
    return;
  }
  Job job{task, n};
  std::unique_lock lock(mutex_);
  jobs_.push_back(&job);
  work_.notify_all();
  while (job.next < job.n) take_one(job, lock);
  done_.wait(lock, [&job] { return job.n_running == 0; });
  if (job.error) std::rethrow_exception(job.error);
}

void Workers::help() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (ending_) return;
    take_one(*jobs_.front(), lock);
  }
}

/// Runs one part without the lock; who takes the last part takes the job off the list.
void Workers::take_one(Job& job, std::unique_lock<std::mutex>& lock) {
  const auto drop = [this, &job] { jobs_.erase(std::find(jobs_.begin(), jobs_.end(), &job)); };
  const size_t part = job.next++;
  ++job.n_running;
  if (job.next == job.n) drop();
  lock.unlock();
  std::exception_ptr error;
  try {
    job.task(part);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (error) {
    if (job.next < job.n) drop();
    job.next = job.n;
    if (!job.error) job.error = error;
  }
  if (--job.n_running == 0) done_.notify_all();
}

}  // namespace medclf::core
