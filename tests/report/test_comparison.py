from pc_ssl.experiments import Comparison, Evaluation, Kind, Method, Plan, Record
from pc_ssl.report.comparison import comparison_figure
from pc_ssl.report.pictures import png


def test_every_column_gets_a_panel_and_every_method_that_has_it_a_bar() -> None:
    evaluations = (Evaluation("probe", "task.py", Kind.PROBE), Evaluation("finetune", "task.py", fractions=(0.05,)))
    plan = Plan((Method("scratch"), Method("prc")), evaluations, (0, 1))
    measured = {("scratch", "probe", 1.0): 0.1, ("scratch", "finetune", 0.05): 0.3, ("prc", "probe", 1.0): 0.2}
    records = [
        Record(method, evaluation, "", seed, fraction, "miou", "all", value + seed / 10)
        for (method, evaluation, fraction), value in measured.items()
        for seed in (0, 1)
    ]
    figure = comparison_figure(Comparison(plan, records, {}))
    assert [axes.get_title() for axes in figure.axes] == ["linear probe", "5 %"]
    assert [len(axes.containers) for axes in figure.axes] == [2, 1]
    assert png(figure).startswith(b"\x89PNG")
