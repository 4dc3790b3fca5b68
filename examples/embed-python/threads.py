"""Threads that share one classifier: texts on stdin, one a line; a label for each on stdout, in order.

pip install 'medclf[cpu]'
python threads.py bundle < texts.txt
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from medclf.runtime import Classifier

classifier = Classifier.load(sys.argv[1])


def label(text: str) -> str:
    """What a thread of a service does with one request; any number of threads may call the classifier."""
    (name,) = classifier.predict([text])
    return str(name)


with classifier, ThreadPoolExecutor(8) as pool:
    for name in pool.map(label, (line.strip() for line in sys.stdin)):
        print(name)
