#include "check.hpp"
#include "sha256.hpp"

using medclf::core::sha256;

int main() {  // the examples of FIPS 180-4, and every length around a block
  CHECK_EQUAL(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_EQUAL(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_EQUAL(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK_EQUAL(sha256(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  std::string chain;
  for (size_t n = 0; n < 200; ++n) chain = sha256(chain + std::string(n, static_cast<char>(n)));
  CHECK_EQUAL(chain, "275dbee5ad39f9eb60352ce8cca1b6cb518c94c9edd8052774b39bc0a3f1721b");
  return check::result();
}
