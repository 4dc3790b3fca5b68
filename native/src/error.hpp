// The one kind of exception inside the library; c_api.cpp turns it into a status code and a message.
#pragma once

#include <stdexcept>
#include <string>

#include "medclf/medclf.h"

namespace medclf::core {

/// Says what, where, what was got and what to do; never holds a piece of a text.
class Error : public std::runtime_error {
 public:
  Error(medclf_status status, const std::string& message) : std::runtime_error(message), status_(status) {}

  medclf_status status() const { return status_; }

 private:
  medclf_status status_;
};

}  // namespace medclf::core
