/*
 * libmedclf: classifies texts with a medclf bundle. UTF-8 in, probabilities out; no Python in the process.
 *
 *     medclf_classifier* classifier = NULL;
 *     if (medclf_open("bundle", NULL, &classifier) != MEDCLF_OK) {
 *       fprintf(stderr, "%s\n", medclf_last_error());
 *       return 1;
 *     }
 *     const char* note = "Chest pain relieved by nitroglycerin.";
 *     size_t label;
 *     if (medclf_predict(classifier, note, strlen(note), &label, NULL) == MEDCLF_OK) {
 *       puts(medclf_label(classifier, label));
 *     }
 *     medclf_close(classifier);
 *
 * Threads: a classifier may be used from any number of threads at once; medclf_close must be the last call. It does
 * not survive a fork: open it in the child.
 * Errors: where a function does not return MEDCLF_OK, medclf_last_error() says what to do, and what it wrote to the
 * caller's arrays means nothing. No message ever holds a piece of a text. Nothing is thrown.
 * ABI: functions and fields are only added, and a program that was compiled against an older header goes on working:
 * `struct_size` says which fields it knows. MEDCLF_ABI_VERSION grows when one changes its meaning.
 */
#ifndef MEDCLF_MEDCLF_H
#define MEDCLF_MEDCLF_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MEDCLF_API __attribute__((visibility("default")))
#else
#define MEDCLF_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define MEDCLF_ABI_VERSION 1

typedef enum medclf_status {
  MEDCLF_OK = 0,
  MEDCLF_ERROR_OPTION = 1,    /* a NULL, a wrong struct_size, an option out of its range */
  MEDCLF_ERROR_INPUT = 2,     /* a text that cannot be classified */
  MEDCLF_ERROR_BUNDLE = 3,    /* not a bundle, or a damaged one */
  MEDCLF_ERROR_VERSION = 4,   /* a bundle of a schema that this version does not read */
  MEDCLF_ERROR_INTEGRITY = 5, /* a file that is missing, or is not the one that was exported */
  MEDCLF_ERROR_RUNTIME = 6,   /* ONNX Runtime is missing, too old, or failed */
  MEDCLF_ERROR_SESSION = 7,   /* the classifier was carried through a fork */
  MEDCLF_ERROR_MEMORY = 8,    /* no memory is left */
  MEDCLF_ERROR_INTERNAL = 9,  /* a bug in this library */
  MEDCLF_ABSTAINED = 10       /* of medclf_predict: less sure than the bundle's abstain_below, a person should look */
} medclf_status;

typedef enum medclf_precision {
  MEDCLF_PRECISION_AUTO = 0, /* INT8 if the bundle has it, else fp32 */
  MEDCLF_PRECISION_FP32 = 1,
  MEDCLF_PRECISION_INT8 = 2
} medclf_precision;

typedef enum medclf_mode {
  MEDCLF_MODE_THROUGHPUT = 0, /* a batch on each core */
  MEDCLF_MODE_LATENCY = 1     /* one batch on all cores */
} medclf_mode;

/* Why a text cannot be classified. */
typedef enum medclf_fault {
  MEDCLF_FAULT_NONE = 0,
  MEDCLF_FAULT_EMPTY = 1,    /* nothing but white space */
  MEDCLF_FAULT_NUL = 2,      /* holds a NUL character */
  MEDCLF_FAULT_TOO_LONG = 3, /* over 1,000,000 characters */
  MEDCLF_FAULT_ENCODING = 4  /* not UTF-8 */
} medclf_fault;

/* A model that is ready to answer. */
typedef struct medclf_classifier medclf_classifier;

/* How a bundle is opened. Fields that are 0 or NULL take their defaults. */
typedef struct medclf_options {
  size_t struct_size;       /* sizeof(medclf_options) */
  int32_t precision;        /* medclf_precision */
  int32_t mode;             /* medclf_mode */
  int32_t threads;          /* cores to keep busy; 0: all that this process may use */
  int32_t max_batch_tokens; /* most real tokens of one run; 0: 512 */
  const char* runtime;      /* path of libonnxruntime; NULL: $MEDCLF_ORT_LIBRARY, else as the loader finds it */
} medclf_options;

/* A text: `size` bytes of UTF-8; no NUL is needed at the end. */
typedef struct medclf_text {
  const char* data;
  size_t size;
} medclf_text;

/* Where the answers to n texts go: arrays of the caller, each NULL if it is not wanted. */
typedef struct medclf_results {
  size_t struct_size;   /* sizeof(medclf_results) */
  float* probabilities; /* [n, labels] */
  float* logits;        /* [n, labels] */
  uint8_t* decisions;   /* [n, labels]: 1 for each label that a text is given, else 0 */
  int64_t* n_tokens;    /* [n]: of the whole text, special tokens included */
  int32_t* faults;      /* [n]: medclf_fault of each text, which then has NaN, no label and no tokens; NULL: a fault in
                           one text refuses all, with MEDCLF_ERROR_INPUT */
  uint8_t* abstained;   /* [n]: 1 where the answer is less sure than the bundle's abstain_below: a person should look.
                           No label is given then. A struct_size without this field and the next is fine. */
  int64_t* n_cut;       /* [n]: tokens that the model did not see; the text was truncated if there are any */
  int64_t* n_windows;   /* [n]: rows of the model; more than 1 where a long text is cut into windows */
} medclf_results;

/* Opens a bundle: its folder, or one .onnx file out of it. `options` may be NULL. After an error `*classifier` is
 * NULL. */
MEDCLF_API medclf_status medclf_open(const char* path, const medclf_options* options, medclf_classifier** classifier);

/* Frees a classifier; NULL is fine. */
MEDCLF_API void medclf_close(medclf_classifier* classifier);

/* Classifies n texts. `pairs` holds the second text of each for a model that was trained on pairs, else NULL. */
MEDCLF_API medclf_status medclf_classify(const medclf_classifier* classifier, const medclf_text* texts,
                                         const medclf_text* pairs, size_t n, const medclf_results* results);

/* Classifies one text. `label` gets the most probable label, `probabilities` [labels]; either may be NULL. Where the
 * bundle abstains, both are written too, and MEDCLF_ABSTAINED is returned. */
MEDCLF_API medclf_status medclf_predict(const medclf_classifier* classifier, const char* text, size_t size,
                                        size_t* label, float* probabilities);

/* Gives the token ids of a text, or of a pair where `pair` is not NULL, as the model gets them. `ids` has room for
 * `capacity` of them and may be NULL; `n_ids` is how many there are, at most medclf_max_length, or those of all windows one
 * after the other where a long text is cut into windows. Bytes that are no UTF-8 count as U+FFFD. */
MEDCLF_API medclf_status medclf_encode(const medclf_classifier* classifier, const medclf_text* text,
                                       const medclf_text* pair, int32_t* ids, size_t capacity, size_t* n_ids);

/* Gives the number of labels. */
MEDCLF_API size_t medclf_n_labels(const medclf_classifier* classifier);

/* Gives the name of label `index`, which lives as long as the classifier; NULL out of range. */
MEDCLF_API const char* medclf_label(const medclf_classifier* classifier, size_t index);

/* Gives 1 if a text may have any number of labels, else 0. */
MEDCLF_API int medclf_multi_label(const medclf_classifier* classifier);

/* Gives the most tokens of a row of the model, special tokens included. */
MEDCLF_API size_t medclf_max_length(const medclf_classifier* classifier);

/* Gives what the model sees of a longer text, in the bundle's words: "truncate", or the policy with its numbers. */
MEDCLF_API const char* medclf_long_text(const medclf_classifier* classifier);

/* Gives the precision that was taken, "fp32" or "int8"; "" for a model that was opened without its manifest. */
MEDCLF_API const char* medclf_precision_taken(const medclf_classifier* classifier);

/* Gives the version of ONNX Runtime that runs the model. */
MEDCLF_API const char* medclf_runtime_version(const medclf_classifier* classifier);

/* Says why a text was refused, fit for the end of a sentence: "is empty". */
MEDCLF_API const char* medclf_fault_reason(int32_t fault);

/* Gives the message of the last error in this thread, until its next call; "" if there was none. */
MEDCLF_API const char* medclf_last_error(void);

/* Gives the version of this library, as "1.2.3". */
MEDCLF_API const char* medclf_version(void);

/* Gives the MEDCLF_ABI_VERSION that this library was built with. */
MEDCLF_API uint32_t medclf_abi_version(void);

#ifdef __cplusplus
}
#endif

#endif
