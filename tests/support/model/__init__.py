"""The random model: what a history is, what people edit, what goes wrong, and what must be true.

history     a workspace, its runs, and what happens between and during them
workspaces  the records that are there before the first run
uploads     files, and the records that show them
edits       what people do in a workspace
file_edits  what they do with files
faults      what goes wrong with requests
subjects    what histories are about: tables, with the records, edits and faults that meet them
strategies  how histories are drawn
target      a target that keeps the last row of each key
comparison  what a target must hold
files       what must hold of stored files and their rows
player      plays a history, and checks each run
"""
