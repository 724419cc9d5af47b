"""What a person sees in a notebook. A view: events come in, clicks go out, nothing here trains.

Core ipywidgets only and no JavaScript of our own, because that is what works alike on JupyterLab 4,
Notebook 7 and Colab (ipywidgets 7.7.1). Never imports torch, so it appears at once. Two rules come from
measurements:

* Only the training thread writes the widgets of a monitor, at most twice a second and at most 1 % of its
  time. Jupyter servers drop messages above 1000 a second, and then a page shows stale values for ever.
* Click handlers only set the run's events. Depending on the kernel's generation they run on the main
  thread, on a subshell's thread or inside a wait, while training goes on.
"""
