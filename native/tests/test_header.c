/* The public header in plain C, and what every entry point does with NULL. */
#include <stdio.h>
#include <string.h>

#include "medclf/medclf.h"

static int failed = 0;

static void check(int holds, const char* what) {
  if (!holds) {
    fprintf(stderr, "%s does not hold\n", what);
    failed = 1;
  }
}

#define CHECK(condition) check((condition), #condition)

int main(void) {
  medclf_classifier* classifier = NULL;
  medclf_results results = {sizeof results, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
  medclf_options options = {sizeof options, 0, 0, 0, 0, NULL};
  size_t n_ids = 0;
  CHECK(medclf_abi_version() == MEDCLF_ABI_VERSION);
  CHECK(strchr(medclf_version(), '.') != NULL);
  CHECK(strlen(medclf_last_error()) == 0);

  CHECK(medclf_open(NULL, NULL, &classifier) == MEDCLF_ERROR_OPTION);
  CHECK(strstr(medclf_last_error(), "path is NULL") != NULL);
  CHECK(medclf_open("bundle", NULL, NULL) == MEDCLF_ERROR_OPTION);
  CHECK(medclf_classify(NULL, NULL, NULL, 0, &results) == MEDCLF_ERROR_OPTION);
  CHECK(medclf_predict(NULL, "a", 1, NULL, NULL) == MEDCLF_ERROR_OPTION);
  CHECK(medclf_encode(NULL, NULL, NULL, NULL, 0, &n_ids) == MEDCLF_ERROR_OPTION);
  CHECK(medclf_n_labels(NULL) == 0);
  CHECK(medclf_label(NULL, 0) == NULL);
  CHECK(medclf_multi_label(NULL) == 0);
  CHECK(medclf_max_length(NULL) == 0);
  CHECK(strlen(medclf_long_text(NULL)) == 0);
  CHECK(strlen(medclf_precision_taken(NULL)) == 0);
  CHECK(strlen(medclf_runtime_version(NULL)) == 0);
  CHECK(strcmp(medclf_fault_reason(MEDCLF_FAULT_EMPTY), "is empty") == 0);
  CHECK(strlen(medclf_fault_reason(99)) > 0);
  medclf_close(NULL);

  options.struct_size -= 8;
  CHECK(medclf_open("bundle", &options, &classifier) == MEDCLF_ERROR_OPTION);
  CHECK(strstr(medclf_last_error(), "struct_size") != NULL);
  options.struct_size = sizeof options + 8; /* of a newer header */
  CHECK(medclf_open("bundle", &options, &classifier) == MEDCLF_ERROR_OPTION);
  CHECK(strstr(medclf_last_error(), "no older than its header") != NULL);
  options.struct_size = sizeof options;
  options.threads = 100000;
  CHECK(medclf_open("bundle", &options, &classifier) == MEDCLF_ERROR_OPTION);
  CHECK(strstr(medclf_last_error(), "threads") != NULL);
  options.threads = 0;
  options.precision = 7;
  CHECK(medclf_open("bundle", &options, &classifier) == MEDCLF_ERROR_OPTION);
  CHECK(strstr(medclf_last_error(), "precision") != NULL);
  CHECK(medclf_open("no-such-bundle", NULL, &classifier) == MEDCLF_ERROR_BUNDLE);
  CHECK(classifier == NULL);
  if (!failed) puts("okay");
  return failed;
}
