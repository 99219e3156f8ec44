# A release that runs, and of which one check never passes.
{
  lichen.healthDeadline = 20;
  lichen.healthChecks.never.command = "false";
}
