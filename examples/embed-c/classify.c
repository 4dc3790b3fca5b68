/* Classifies each line of the standard input: the label, its probability, and nothing of the text.
 *
 *     classify BUNDLE < notes.txt
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <medclf/medclf.h>

#define MAX_LINE (1 << 20)

static int classify_lines(const medclf_classifier* classifier, float* probabilities, char* line) {
  for (long row = 1; fgets(line, MAX_LINE, stdin) != NULL; ++row) {
    size_t label;
    switch (medclf_predict(classifier, line, strcspn(line, "\n"), &label, probabilities)) {
      case MEDCLF_OK: printf("%ld\t%s\t%.6f\n", row, medclf_label(classifier, label), probabilities[label]); break;
      case MEDCLF_ERROR_INPUT: /* this row alone cannot be classified */
      case MEDCLF_ABSTAINED:   /* or is left to a person */
        fprintf(stderr, "row %ld: %s\n", row, medclf_last_error());
        break;
      default: fprintf(stderr, "%s\n", medclf_last_error()); return 1;
    }
  }
  return 0;
}

int main(int argc, char** argv) {
  medclf_classifier* classifier = NULL;
  if (argc != 2) {
    fprintf(stderr, "usage: classify BUNDLE < notes.txt\n");
    return 2;
  }
  if (medclf_open(argv[1], NULL, &classifier) != MEDCLF_OK) {
    fprintf(stderr, "%s\n", medclf_last_error());
    return 1;
  }
  float* probabilities = malloc(medclf_n_labels(classifier) * sizeof *probabilities);
  char* line = malloc(MAX_LINE);
  const int status = probabilities && line ? classify_lines(classifier, probabilities, line) : 1;
  free(line);
  free(probabilities);
  medclf_close(classifier);
  return status;
}
