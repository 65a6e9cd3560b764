import os
import signal

# Set before torch, matplotlib or ray are first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# A shell starts what it runs in the background with SIGINT ignored, nohup with SIGHUP, and so would be all that tests
# start: they send both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

from hypothesis import settings

# No deadline: no test asserts on time. Under CI hypothesis draws the same examples every time by itself.
settings.register_profile("lossearch", deadline=None)
settings.load_profile("lossearch")
