include: "workflow/Snakefile"


if len(workflow.modifier_stack) == 1:  # as a module of another workflow it leaves that one's default target alone
    workflow.default_target = "all"
