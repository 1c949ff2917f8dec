"""What an evaluation may do to its worker process, and what becomes of its output."""

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import cloudpickle

from lanista.executor import Finished, ProcessExecutor, Reported
from lanista.testing.executors import collect, numbered, outcomes
from lanista.trial import State

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def one_worker():
    return ProcessExecutor(1, devices=["cpu"], retries=0)


def run(actions, folder):
    """Perform one action for each trial, all in the same worker; give outcomes, logs and events."""

    def work(trial):
        return {"score": actions[trial.number](trial) or 0, "pid": os.getpid()}

    events = collect(one_worker(), work, numbered(len(actions)), folder)
    logs = {int(path.stem): path.read_text() for path in folder.glob("*.log")}
    ended = outcomes(events)
    assert len({outcome.metrics["pid"] for outcome in ended.values() if outcome.metrics}) == 1
    return ended, logs, events


def say(trial):
    print("said", trial.number)


def test_output_of_python_c_and_children_goes_to_the_trials_own_log(tmp_path):
    def speak(trial):
        print("\N{SNAKE} and a lone \ud800")
        print("to error", file=sys.stderr)
        os.write(1, b"from C\n")
        subprocess.run(["echo", "from a child"], check=True)
        logging.warning("from logging")

    def keep_silent(trial):
        pass

    _, logs, _ = run([speak, keep_silent, speak, say], tmp_path)
    expected = "\N{SNAKE} and a lone \\ud800\nto error\nfrom C\nfrom a child\nWARNING:root:from logging\n"
    assert logs == {0: expected, 2: expected, 3: "said 3\n"}


def test_a_log_is_appended_to_and_tells_attempts_apart(tmp_path):
    def work(trial):
        print("attempt", trial.attempts)
        os._exit(1)

    (tmp_path / "0.log").write_text("from an earlier run\n")
    collect(ProcessExecutor(1, devices=["cpu"], retries=1), work, numbered(1), tmp_path)
    expected = "from an earlier run\n\n--- attempt 1 ---\nattempt 1\n\n--- attempt 2 ---\nattempt 2\n"
    assert (tmp_path / "0.log").read_text() == expected


def test_a_flood_of_output_and_reports_arrives_whole(tmp_path):
    def flood(trial):
        for step in range(5000):
            print("x" * 199)
            trial.report({f"metric {index}": step for index in range(10)})

    _, logs, events = run([flood], tmp_path)
    assert len(logs[0]) == 5000 * 200
    assert [event.step for event in events if isinstance(event, Reported)] == list(range(5000))


def test_closing_or_replacing_the_streams_harms_only_that_trial(tmp_path):
    def close_objects(trial):
        sys.stdout.close()
        sys.stderr.close()

    def close_descriptors(trial):
        for descriptor in (1, 2):
            os.close(descriptor)

    def replace(trial):
        sys.stdout = sys.stderr = None

    ended, logs, _ = run([close_objects, say, close_descriptors, say, replace, say], tmp_path)
    assert {outcome.state for outcome in ended.values()} == {State.COMPLETED}
    assert logs == {number: f"said {number}\n" for number in (1, 3, 5)}


def test_forks_do_not_answer_for_their_parent(tmp_path):
    def fork_and_fall_through(trial):
        if os.fork() == 0:
            return 13
        os.wait()
        return 1

    def fork_and_exit(trial):
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        return 2

    def fork_and_report(trial):
        if os.fork() == 0:
            trial.report(13)
        os.wait()
        return 3

    def work_in_children(trial):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return sum(pool.map(abs, [-1, -3]))

    ended, _, events = run([fork_and_fall_through, fork_and_exit, fork_and_report, work_in_children], tmp_path)
    assert [ended[number].metrics["score"] for number in range(4)] == [1, 2, 3, 4]
    assert not [event for event in events if isinstance(event, Reported)]


def test_reports_from_threads_arrive_whole_and_only_for_their_own_trial(tmp_path):
    def report_from_threads(trial):
        def report():
            for step in range(10):
                trial.report({"x" * 300_000: step}, step)  # more than a socket takes at once

        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def leave_a_reporter_behind(trial):
        def report():
            while True:
                trial.report(13)
                time.sleep(0.001)

        threading.Thread(target=report, daemon=True).start()

    def outlast_it(trial):
        time.sleep(0.1)

    ended, _, events = run([report_from_threads, leave_a_reporter_behind, outlast_it], tmp_path)
    reported = [event for event in events if isinstance(event, Reported)]
    assert sorted(event.step for event in reported if event.number == 0) == sorted([*range(10)] * 4)
    end = next(index for index, event in enumerate(events) if event == Finished(1, ended[1], 1))
    assert not [event for event in events[end:] if isinstance(event, Reported)]
    assert len(ended) == 3


def test_exceptions_and_results_that_cannot_be_pickled_are_outcomes(tmp_path):
    class Unpicklable(Exception):
        def __init__(self, lock):
            super().__init__("it holds a lock")
            self.lock = lock

    def raise_it(trial):
        raise Unpicklable(threading.Lock())

    def return_it(trial):
        return threading.Lock()

    ended, _, _ = run([raise_it, return_it, say], tmp_path)
    assert [ended[number].state for number in range(3)] == [State.FAILED, State.FAILED, State.COMPLETED]
    assert "Unpicklable: it holds a lock" in ended[0].error
    assert "MetricError: the evaluation gave <unlocked _thread.lock" in ended[1].error


def test_metric_names_may_be_of_a_type_that_only_the_worker_knows(tmp_path):
    class Name(str):
        pass

    def work(trial):
        trial.report({Name("loss"): 1})
        return {Name("accuracy"): 0.5}

    _, reported, finished = collect(one_worker(), work, numbered(1), tmp_path)
    assert reported.metrics == {"loss": 1.0}
    assert finished.outcome.metrics == {"accuracy": 0.5}
