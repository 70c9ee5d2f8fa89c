package main

func (r *report) chart() string { return "" }
